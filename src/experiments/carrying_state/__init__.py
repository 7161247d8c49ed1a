"""How states are carried, moved, reset, handed over and kept: what users ask most."""
