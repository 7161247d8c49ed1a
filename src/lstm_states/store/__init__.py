"""Stores of traces: Zarr files that are written batch by batch and read when they are used."""
