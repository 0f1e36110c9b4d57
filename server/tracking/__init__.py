"""Curves of a run for TensorBoard and MLflow, taken from the run's own files, which stay the truth."""
