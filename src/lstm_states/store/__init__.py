"""Stores of traces: Zarr files, written batch by batch and read on use."""
