"""What flows where in a stack, and what a layer gives."""
