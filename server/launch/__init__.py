"""Launching: the SuperLink and what it needs, kept alive; runs submitted to it, followed and brought back."""
