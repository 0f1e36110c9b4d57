"""Synthetic sites: scenes a clinician recognises, seen by each site's own camera, degraded in each site's own way."""
