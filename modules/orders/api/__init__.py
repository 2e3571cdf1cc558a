"""What customers reach over HTTP, one package a version."""
