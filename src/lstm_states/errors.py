"""Errors whose message is all that a user needs: what is wrong, and what would be right."""


class ConfigError(ValueError):
    """A parameter is unknown, missing or out of range; names the key, the value and what fits."""


class DataError(ValueError):
    """Data that breaks the schema; the message names the row, column or file."""


class LedgerError(ValueError):
    """claims.yaml breaks its rules; names the claim, the key, the value and what fits."""


class ReproError(RuntimeError):
    """The pipeline can't go on; the message names the stage, or what is in the way."""


class StoreError(RuntimeError):
    """The store of runs can't be used; the message names it, and says what to do."""


class ExperimentError(RuntimeError):
    """A notebook stopped; the message names the cell, the error and where the rest is."""
