"""Enhancers other than HQ-guided ones."""
