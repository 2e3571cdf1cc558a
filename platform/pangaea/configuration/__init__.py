"""Every environment variable: declared once, read, validated, and composed into profiles. Names no module."""
