"""What masks skip and save, and how missing numbers are best encoded."""
