"""What a search can weigh against accuracy."""

from __future__ import annotations

COSTS = ("parameters", "macs", "activation_bytes")
"""What a constraint may bound."""
