"""The whole of slad, as its users and operators meet it."""
