"""Python client of slad."""
