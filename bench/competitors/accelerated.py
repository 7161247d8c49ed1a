"""The accelerated model, threads set as its documentation advises."""

import tensorflow as tf

from bench.competitors.training import PACKAGES as PACKAGES
from bench.competitors.training import arrays as arrays
from bench.competitors.training import prepare_accelerated as prepare

__all__ = ["PACKAGES", "arrays", "prepare"]

tf.config.threading.set_intra_op_parallelism_threads(1)
