"""Whether what was recorded is what the equations say, and why not."""
