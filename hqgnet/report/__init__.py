"""What the server's and the hospitals' reports share: how figures are written, plots, the page's frame."""
