"""A project with nothing in it but NumPy."""
