"""Provisioning: the federation's own authority, the server's certificate, and a kit for each hospital."""
