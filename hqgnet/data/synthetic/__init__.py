"""Synthetic sites: scenes a clinician recognises, each site with its own camera and degradations."""
