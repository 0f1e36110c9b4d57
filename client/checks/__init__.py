"""What ``hqgnet-client check`` looks at, a file for each thing."""
