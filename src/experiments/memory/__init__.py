"""How long a state lasts, and how far back a gradient reaches."""
