"""The data: `python -m toy.numbers` writes it."""

from pathlib import Path

import numpy as np

if __name__ == "__main__":
    path = Path("data/numbers.csv")
    path.parent.mkdir(exist_ok=True)
    np.savetxt(path, np.random.default_rng(0).normal(size=100), header="number", comments="")
    print("wrote", path)
