"""Experiments that decide the claims, each on any Keras stack."""
