"""A Pareto front as every output shows it: one view of it, its axes, its table."""
