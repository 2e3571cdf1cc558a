"""Keys, certificates and SPIFFE ids, from text or files: pure or file-bound, below everything."""
