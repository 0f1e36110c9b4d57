"""The coordinator: starts rounds, checks and averages what sites send, never sees an image."""
