"""The accelerated model with TensorFlow's own choice of threads."""

from bench.competitors.training import PACKAGES as PACKAGES
from bench.competitors.training import arrays as arrays
from bench.competitors.training import prepare_accelerated as prepare

__all__ = ["PACKAGES", "arrays", "prepare"]
