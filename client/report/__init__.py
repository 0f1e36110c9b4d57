"""``hqgnet-client report``: a hospital's own page, with its pictures; it stays at the site."""
