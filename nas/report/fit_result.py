"""What a fit came to, for who called it: the verdict, the chosen network, and the files with their pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import SearchError
from nas.fits.choice import Candidate, Choice
from nas.fits.fit import Fitted
from nas.fits.options import FitOptions
from nas.report.model_card import card_path, write_card
from nas.report.verdict import candidate_record, verdict, verdict_record
from nas.report.verdict_page import accuracy_picture, networks_table, write_verdict
from nas.store import DEFAULT_URL
from nas.text.markup import tag

if TYPE_CHECKING:
    import pandas as pd
    from torch import fx

    from nas.data.overview import Overview
    from nas.export.int8 import Quantized


@dataclass(frozen=True)
class FitResult:
    """What `nas.fit` gives: the verdict, the chosen network, and the files that were written."""

    study: str
    storage: str
    """URL of the database, password masked."""
    ended: str
    """Why the search ended: ``done``, ``time is up``, ``interrupted`` or ``exhausted``."""
    seen: Overview
    """Classes, counts and sizes of the photos."""
    verdict: tuple[str, ...]
    """What the numbers come to, in sentences; the first says which network to take."""
    choice: Choice | None
    """The chosen network, the runner-up, and a smaller one as good; None where no network was trained to its end yet."""
    offered: tuple[Candidate, ...]
    """All networks that were trained to be used, those of the search and references, the best first."""
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    """The chosen network: Python, weights, ONNX, as far as they could be written."""
    page: Path | None
    """The verdict as HTML."""
    card: Path | None
    """The model card."""
    remarks: tuple[str, ...]
    """What was left out, and why."""
    int8: Quantized | None
    """What the chosen network is worth in 8-bit integers, where that was asked for."""
    _url: str = field(repr=False, compare=False)

    @property
    def chosen(self) -> Candidate | None:
        """The network to take; None where `choice` is."""
        return None if self.choice is None else self.choice.chosen

    def __repr__(self) -> str:
        return f"<fit of study {self.study}: {self.verdict[0]}>"

    def _repr_html_(self) -> str:
        """The verdict for a notebook, with its picture and table."""
        first, *rest = self.verdict
        shown = (
            []
            if self.chosen is None
            else [accuracy_picture(self.offered, self.chosen), networks_table(self.offered, self.chosen)]
        )
        lines = [tag("p", line) for line in (*rest, *self.remarks)]
        files = [tag("li", tag("code", str(file))) for file in (*self.files, self.page, self.card) if file is not None]
        return tag("div", tag("p", tag("strong", first)), lines, shown, tag("ul", files) if files else None)

    @property
    def networks(self) -> pd.DataFrame:
        """One row for each network that was offered: its value, parameters, MACs, whether it is a reference."""
        import pandas as pd

        rows = [candidate_record(one, self.classes) for one in self.offered]
        return pd.DataFrame(rows).drop(columns=["test"], errors="ignore")

    def model(self) -> fx.GraphModule:
        """The chosen network with its weights, in evaluation mode: (B, C, H, W) -> (B, classes). Raises SearchError without one."""
        from nas.network.load import build
        from nas.network.lookup import find_network

        if self.chosen is None:
            raise SearchError(f"study '{self.study}': {self.verdict[0]}")
        return build(find_network(self.chosen.word, storage=self._url), storage=self._url).model

    def record(self) -> dict[str, Any]:
        """Everything as plain data, as ``nas fit --json`` prints it."""
        record: dict[str, Any] = {"study": self.study, "storage": self.storage, "ended": self.ended}
        if self.choice is not None:
            record |= verdict_record(self.choice, self.offered, self.classes)
        record["int8"] = None if self.int8 is None else asdict(self.int8)
        return record | {"files": [str(file) for file in self.files], "remarks": list(self.remarks)}


def finished(fitted: Fitted, options: FitOptions) -> FitResult:
    """Writes the page and the card of a fit, and says what it came to. Raises NasError where they cannot be written."""
    choice, final = fitted.choice, fitted.result.final
    page = card = None
    if choice is None or final is None:
        interrupted = fitted.result.ended == "interrupted"
        lines = [
            "not done yet: run the same again to resume"
            if interrupted
            else "no network was trained to its end, so there is none to choose"
        ]
        names: tuple[str, ...] = fitted.seen.classes
    else:
        data = final.ran.plan.dataset
        lines, names = verdict(choice, fitted.offered), data.class_names
        page, card = options.output / "verdict.html", card_path(options.output)
        told = fitted.study, fitted.seen, choice, fitted.offered, data, fitted.files
        notes = [line for line in fitted.remarks if fitted.int8 is None or line != fitted.int8.sentence()]
        write_verdict(page, *told, notes, fitted.int8)
        write_card(card, *told, notes, fitted.int8)
    return FitResult(
        study=fitted.study,
        storage=fitted.storage,
        ended=fitted.result.ended,
        seen=fitted.seen,
        verdict=tuple(lines),
        choice=choice,
        offered=fitted.offered,
        classes=names,
        files=fitted.files,
        page=page,
        card=card,
        remarks=fitted.remarks,
        int8=fitted.int8,
        _url=options.search.storage or DEFAULT_URL,
    )
