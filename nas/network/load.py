"""The model of a network with the best weights there are: those of a file, those of a retraining or replay, or random ones."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture.compile import compile_model
from nas.config.task import LoadedTask
from nas.data import source
from nas.data.multi_label import MULTI_LABEL
from nas.data.task_type import CLASSIFICATION, TaskType
from nas.network.lookup import Network
from nas.network.model_selection import in_order, latest_first
from nas.network.weights import Card, fill, read_weights
from nas.statistics.scores import Score
from nas.store import Store
from nas.text.formatting import metric_text, words

if TYPE_CHECKING:
    from torch import fx


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode, and where its weights come from."""

    model: fx.GraphModule
    card: Card
    """Its facts say study, trial or published config, and what the weights were measured to be worth."""
    weights: Path | None
    """The file they were read from; None means random weights."""
    note: str
    """One line for people: where the weights are from, or how to get some."""
    task: LoadedTask | None = None
    """Task of the study that the network is of; None for other networks."""

    @property
    def type(self) -> TaskType | None:
        """What its answers are: as its weights say, or the data of its study; classes where nobody says. None: nobody knows."""
        said = self.card.facts.get("task")
        known = next((one for one in (CLASSIFICATION, MULTI_LABEL) if one.name == said), None)
        if known is not None:
            return known
        if self.task is None:
            return CLASSIFICATION if said is None else None
        return source(self.task).type


def build(
    network: Network, *, weights: Path | None = None, storage: str | None = None, search: bool = True, seed: int = 0
) -> Trained:
    """The model of `network` with `weights`, or with those that `storage` knows, or with random ones drawn from `seed`.

    Without `search` the database is not asked. Raises WeightsError when `weights` are another network's.
    """
    if weights is not None:
        return _with(network, weights, f"weights from {weights}")
    lost = None
    for path, what in _known(network, storage) if search else []:
        if path.is_file():
            return _with(network, path, f"{what}: {path}")
        lost = lost or f"random weights: the file {path} ({what}) is not there any more; {_remedy(network)}"
    note = lost or f"random weights: no checkpoint of this {_kind(network)}; {_remedy(network)}"
    return Trained(_model(network, seed), _card(network), None, note, network.task)


def _with(network: Network, path: Path, note: str) -> Trained:
    state, card = read_weights(path)
    if card is not None and card.architecture.hash == network.architecture.hash:
        # The same network may have other names for its nodes; the weights go by those of the file.
        network = replace(network, architecture=card.architecture)
    model = _model(network, 0)
    fill(model, state, path)
    own = _card(network)
    if card is not None:
        own = replace(card, facts={**card.facts, **own.facts}, input=own.input)
    return Trained(model, own, path, note, network.task)


def _model(network: Network, seed: int) -> fx.GraphModule:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = compile_model(network.architecture, network.input, network.classes)
    model.eval()
    return model


def _card(network: Network) -> Card:
    facts: dict[str, Any] = {
        "study": network.study,
        "trial": network.trial,
        "published": network.published,
        f"validation_{network.metric}": network.searched,
        "data": network.task and network.task.dataset,
        "parameters": network.cost.parameters,
        "macs": network.cost.macs,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return Card(network.architecture, network.input, network.classes, facts=known)


def _known(network: Network, storage: str | None) -> list[tuple[Path, str]]:
    """Files of weights of this network that the database names, each in words.

    Those of the latest way in which it was trained come first, and of its seeds that which is kept: see
    `nas.network.model_selection`.
    """
    if network.study is None and network.published is None:
        return []
    url = network.database(storage)
    if url is None:
        return []
    with Store.open(url) as store:
        found = store.measurements()
    rows = found[(found["hash"] == network.architecture.hash) & found["weights"].notna()]
    known = []
    ways = [in_order(rows[rows["key"] == key]) for key in latest_first(rows)]
    for row in [row for way in ways for row in way]:
        task = row["task"]
        if (task.classes, task.input) != (network.classes, network.input):
            continue
        if network.task is not None and task.dataset != network.task.dataset:
            continue
        metric = row["metric"]
        value = row["scores"].get("test", Score({})).value(metric)
        tested = f", test {words(metric)} {metric_text(metric, value)}" if value == value else ""
        known.append((Path(row["weights"]), f"{row['kind']} of {row['epochs']} epochs, seed {row['seed']}{tested}"))
    return known


def _kind(network: Network) -> str:
    return "trial" if network.trial is not None else "network"


def _remedy(network: Network) -> str:
    if network.trial is not None:
        assert network.study is not None
        return f"`nas retrain --study {shlex.quote(network.study)} --trial {network.trial}` makes one"
    if network.study is not None:
        return f"`nas compare --study {shlex.quote(network.study)}` makes one"
    if network.published is not None:
        return f"`nas replay {shlex.quote(network.published)}` makes one"
    return "--weights names a file"
