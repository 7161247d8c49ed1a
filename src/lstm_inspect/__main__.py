"""Run ``python -m lstm_inspect``."""

import sys

from lstm_inspect.command import main

sys.exit(main())
