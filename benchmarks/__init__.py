"""Measurements: ``python -m benchmarks.NAME --json``. Figures are ratios of what one run measured."""
