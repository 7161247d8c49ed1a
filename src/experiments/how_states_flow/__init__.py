"""The flow of states in a stack, and the outputs of a layer."""
