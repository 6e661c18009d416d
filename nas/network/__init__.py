"""One network: found by what a user calls it, with its weights, its latency, its predictions, and where it looks."""
