"""Inference step by step: states are kept from call to call."""
