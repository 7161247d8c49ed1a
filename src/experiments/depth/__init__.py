"""What depth adds: what each layer holds and for how long, and what a stack can learn."""
