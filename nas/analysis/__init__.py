"""What the trials of a study say, as plain numbers: over time, by choice, by block, by epoch."""
