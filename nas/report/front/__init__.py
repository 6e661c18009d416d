"""A front as a picture: one view of it, a PNG and an interactive page."""
