"""Design spaces: their grammar, files, checks, how much of them can be trained, and published networks in them."""
