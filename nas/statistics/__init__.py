"""How sure an accuracy is, and the right answers in each class."""
