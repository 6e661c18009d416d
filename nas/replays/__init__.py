"""Published networks built and trained again, claim by claim, and front members retrained."""

from nas.replays.checking import Check, CheckedClaim, check, check_all

__all__ = ["Check", "CheckedClaim", "check", "check_all"]
