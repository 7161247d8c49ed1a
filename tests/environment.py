"""Render environment.yml from requirements.lock: `python -m tests.environment`."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

HEAD = """\
# The same environment for conda users: conda env create -f environment.yml
# Made from requirements.lock by `make lock`; the hashes are there only, since pip can't check those
# of an editable package.
name: lstm-states
channels:
  - conda-forge
dependencies:
  - python>=3.11,<3.14
  - pip
  - git
  - make
  - pip:
      - --editable .
      - --editable ./src
"""


def render(lock: str) -> str:
    """Return the text of environment.yml for the text of a lock."""
    pins = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*?) *\\?$", lock, re.MULTILINE)
    return HEAD + "".join(f'      - "{pin}"\n' for pin in pins)


if __name__ == "__main__":
    print(render((ROOT / "requirements.lock").read_text(encoding="utf-8")), end="")
