"""Errors whose message tells users what is wrong and how to correct it."""


class UserError(Exception):
    """An error that commands show as a message, without a traceback. Projects derive their own."""


class ConfigError(UserError, ValueError):
    """A parameter is unknown, missing or out of range; names key, value and allowed values."""


class OutputsError(UserError, ValueError):
    """An output of a stage is missing or out of date; names the output and its stage."""


class ReproError(UserError, RuntimeError):
    """The pipeline cannot continue; names the stage or the obstacle."""


class StoreError(UserError, RuntimeError):
    """The store of runs cannot be used; names the store and the solution."""


class NotebookError(UserError, RuntimeError):
    """A notebook stopped; names the cell, the error and the place of the results so far."""


class SweepError(UserError, RuntimeError):
    """Points of a sweep failed; names them, their errors and the place of the whole story."""
