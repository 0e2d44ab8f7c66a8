"""What slad costs, held against something known in the same run (see README.md)."""
