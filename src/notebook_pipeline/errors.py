"""Errors whose message is all that a user needs: what is wrong, and what would be right."""


class UserError(Exception):
    """What a command tells in its message alone, without a traceback; a project derives its own."""


class ConfigError(UserError, ValueError):
    """A parameter is unknown, missing or out of range; names the key, the value and what fits."""


class OutputsError(UserError, ValueError):
    """What stages make is missing, or isn't of the present state; names it and what makes it."""


class ReproError(UserError, RuntimeError):
    """The pipeline can't go on; the message names the stage, or what is in the way."""


class StoreError(UserError, RuntimeError):
    """The store of runs can't be used; the message names it, and says what to do."""


class NotebookError(UserError, RuntimeError):
    """A notebook stopped; the message names the cell, the error and where the rest is."""
