"""Generated stubs of proto/slad/v1; see generate.py."""
