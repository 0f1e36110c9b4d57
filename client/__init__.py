"""A hospital in the federation: trains and judges on its own images, and guards what leaves."""
