"""Blocks that need a package beside PyTorch: known once a name with the package before a colon is asked for."""
