"""Whole tables of the paper by one command: rows as data, one budget, the paper's figures beside ours."""
