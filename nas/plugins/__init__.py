"""What can be added from outside: registries of things by name, and files of a user's own."""
