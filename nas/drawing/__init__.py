"""Pictures of networks: their nodes laid out, worded, and drawn on a sheet of matplotlib or SVG."""
