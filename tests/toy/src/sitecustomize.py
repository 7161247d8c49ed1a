"""No process of the toy finds what the engine must do without."""

import sys

ABSENT = {"experiments", "keras", "lstm_states", "seaborn", "sklearn", "tensorflow", "torch"}


class Absent:
    """Finds none of them, wherever they are installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
