"""From parameters to reports: the runner, canonical notebooks, pages, the command line."""
