"""swept."""
