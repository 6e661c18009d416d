"""From a folder of photos to a network to use: references trained beside a search, and the choice among all."""
