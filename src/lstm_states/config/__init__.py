"""The schema of params.yaml: what each parameter is called and what it may be."""

from lstm_states.config.datasets import Dataset, JapaneseVowels, OrderBook, Table
from lstm_states.config.names import near_or_all
from lstm_states.config.notebooks import (
    CONFIGURATIONS,
    TRIALS,
    Experiment,
    Masked,
    Windowed,
    stage_of,
)
from lstm_states.config.params import (
    ConfigError,
    load_params,
    project_root,
    read_parameters,
)

__all__ = [
    "CONFIGURATIONS",
    "TRIALS",
    "ConfigError",
    "Dataset",
    "Experiment",
    "JapaneseVowels",
    "Masked",
    "OrderBook",
    "Table",
    "Windowed",
    "load_params",
    "near_or_all",
    "project_root",
    "read_parameters",
    "stage_of",
]
