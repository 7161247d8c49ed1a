"""Set states of reports side by side: folders, MLflow runs, DVC experiments, revisions of git."""
