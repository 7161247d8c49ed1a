"""Sweeps over the documented configurations: what one of their points computes."""
