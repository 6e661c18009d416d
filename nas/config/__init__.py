"""What a user writes in files: YAML with line numbers, recipes, and the files that are shipped."""
