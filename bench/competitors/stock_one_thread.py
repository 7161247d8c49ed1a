"""Stock Keras with one thread within an operation."""

import tensorflow as tf

from bench.competitors.training import PACKAGES as PACKAGES
from bench.competitors.training import arrays as arrays
from bench.competitors.training import prepare_stock as prepare

__all__ = ["PACKAGES", "arrays", "prepare"]

tf.config.threading.set_intra_op_parallelism_threads(1)
