"""A search whose driver and workers are killed again and again: the real command ends as one that nobody disturbs."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pandas as pd
import pytest

from nas.errors import NasError
from nas.store import Store
from tests.small_search import training_process

SPACE = """\
name: four
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: CHANNELS}, kernel_size: {choose: [3, 5]}, stride: 2}
  head: {block: classifier, pool: average}
"""
RECIPE = """\
optimizer: adamw
lr: 0.02
schedule: wsd
ema: 0.99
batch_size: 64
epochs: 12
precision: fp32
"""
OPTIONS = (
    *("--space", "four.yaml", "--recipe", "recipe.yaml", "--sampler", "random", "--seed-points", "none"),
    # a rung after each of the first eight epochs, from which nobody is stopped
    *("--scheduler", "pareto_asha", "--reduction-factor", "1.01", "--min-epochs", "1", "--max-concurrent", "2"),
)  # fmt: skip


BUSY = "Ray cannot be started on this machine: The current node timed out"
"""What Ray says on a machine that has too much to do."""


class Searches:
    """Commands on a study of all networks of a space, one after the other."""

    def __init__(self, folder: Path, networks: int) -> None:
        self.networks = networks
        self.folder, self.storage = folder, f"sqlite:///{folder / 'nas.db'}"
        folder.mkdir()
        (folder / "four.yaml").write_text(
            SPACE.replace("CHANNELS", str([4 + 2 * place for place in range(networks // 2)]))
        )
        (folder / "recipe.yaml").write_text(RECIPE)

    def start(self) -> subprocess.Popen[str]:
        root = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        with (self.folder / "said").open("a") as said:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "nas",
                    "search",
                    *OPTIONS,
                    "--trials",
                    str(self.networks),
                    "--storage",
                    self.storage,
                ],
                cwd=self.folder,
                env=environment,
                stdout=said,
                stderr=said,
                text=True,
            )

    def finish(self) -> None:
        while (code := self.start().wait()) == 2 and BUSY in (self.folder / "said").read_text().splitlines()[-1]:
            pass
        assert code == 0, (self.folder / "said").read_text()

    def epochs(self) -> pd.DataFrame:
        """What is recorded of every trial."""
        with suppress(NasError), Store.open(self.storage) as store:
            return store.epochs("four-digits")[["hash", "epoch", "train_loss", "accuracy"]]
        return pd.DataFrame({"hash": [], "epoch": [], "train_loss": [], "accuracy": []})

    def recorded(self) -> int:
        """How many epochs are recorded. To open a `Store` again and again would slow down who trains."""
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{self.folder / 'nas.db'}?mode=ro", uri=True)) as database,
        ):
            return int(database.execute("SELECT count(*) FROM nas_epochs").fetchone()[0])
        return 0

    def killed(self, rng: random.Random, kills: int) -> list[pd.DataFrame]:
        """What was recorded at each kill, of the driver or of a worker."""
        recorded = []
        search = self.start()
        for kill in range(kills):
            wanted = self.recorded() + rng.randint(1, 3)
            while self.recorded() < wanted:
                time.sleep(0.1)
                if search.poll() == 2 and BUSY in (self.folder / "said").read_text().splitlines()[-1]:
                    search = self.start()
                assert search.poll() is None, (self.folder / "said").read_text()
            recorded.append(self.epochs())
            victim = training_process(search) if kill % 2 else search.pid
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            if victim == search.pid:
                search.wait()
                search = self.start()
        search.kill()
        search.wait()
        recorded.append(self.epochs())
        self.finish()
        return recorded


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_lose_no_rung_and_change_no_accuracy(tmp_path: Path) -> None:
    kills, networks = 20, 10
    whole, killed = Searches(tmp_path / "whole", networks), Searches(tmp_path / "killed", networks)
    whole.finish()
    recorded = killed.killed(random.Random(kills), kills)
    expected = whole.epochs().sort_values(["hash", "epoch"], ignore_index=True)
    found = killed.epochs().sort_values(["hash", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)  # to the bit, and each epoch once
    for before in recorded:
        kept = before.merge(found, on=["hash", "epoch", "train_loss", "accuracy"])
        assert len(kept) == len(before)
    with Store.open(killed.storage) as store:
        trials = store.trials("four-digits")
        assert store.running("four-digits") == 0
        assert store.paused("four-digits").empty
    assert trials["state"].tolist() == ["complete"] * networks
    assert trials["hash"].is_unique
    assert "paused, and gone on with" in (killed.folder / "said").read_text()
    assert not list(killed.folder.glob("nas.db-checkpoints*"))
