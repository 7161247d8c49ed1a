"""Stock Keras."""

from bench.competitors.training import PACKAGES as PACKAGES
from bench.competitors.training import arrays as arrays
from bench.competitors.training import prepare_stock as prepare

__all__ = ["PACKAGES", "arrays", "prepare"]
