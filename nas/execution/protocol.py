"""How a worker's report crosses to the driver."""

from __future__ import annotations

REPORT = "report"
"""Key of a result under which the report stands as JSON: Tune flattens nested dictionaries."""


class Retire(Exception):
    """The last report of a process that must not train another model. Tune replaces a worker that raises."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report
