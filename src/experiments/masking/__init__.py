"""The effect of masks, and the best encoding of missing numbers."""
