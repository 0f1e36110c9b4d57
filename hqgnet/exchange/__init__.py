"""What leaves a site, and in which form."""
