"""Every system of the paper trains fifty steps a phase, by the commands that its users type."""
