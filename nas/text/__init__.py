"""Text: what others wrote made harmless, numbers and shapes as people read them, the terminal."""
