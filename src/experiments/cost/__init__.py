"""What states cost in time and memory."""
