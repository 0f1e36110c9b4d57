"""What the commands of ``hqgnet-client`` do, a file each."""
