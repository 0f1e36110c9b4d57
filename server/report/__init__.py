"""``hqgnet-server report``: one page on a run, for the consortium."""
