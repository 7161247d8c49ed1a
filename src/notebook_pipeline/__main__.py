"""`python -m notebook_pipeline`: the command of the project in the current folder."""

import sys

from notebook_pipeline.cli import main
from notebook_pipeline.repository import nearest_project

if __name__ == "__main__":
    # Not the engine's own checkout: whoever starts a project of theirs may not have marked it yet.
    sys.exit(main(find=nearest_project))
