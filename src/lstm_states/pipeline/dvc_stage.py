"""`python -m lstm_states.pipeline.dvc_stage NAME`: DVC runs one stage, and ends with its caller."""

from __future__ import annotations

import sys

from dvc.cli import main

from lstm_states.pipeline.signals import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(["--wait-for-lock", "repro", "--single-item", *sys.argv[1:]]))
