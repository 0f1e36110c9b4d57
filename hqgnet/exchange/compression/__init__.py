"""Fewer bytes on the wire: what is done to each array of a message, and how it is undone."""
