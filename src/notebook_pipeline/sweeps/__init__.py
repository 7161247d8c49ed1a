"""Sweeps: many points of parameters and seeds as one stage."""
