"""Real data for the experiments: obtained, checked, processed, and cut into samples."""
