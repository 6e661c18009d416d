"""A search on a Ray cluster of several nodes, one of which is lost on the way: a program.

``python -m tests.execution.cluster STORAGE SPACE TRIALS EPOCHS``: prints how the search ended and what it noted, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import ray
from ray.cluster_utils import Cluster

import nas
from nas.searches.progress import Progress
from nas.store import Store

# Ray notices after a second that a node does not answer, not after 15.
SETTINGS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def main() -> None:
    storage, space, trials, epochs = sys.argv[1:]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": SETTINGS}
    )
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    notes = Notes()

    def lose_a_node() -> None:
        while _complete(storage) < 3:
            time.sleep(0.1)
        cluster.remove_node(nodes[1], allow_graceful=False)

    thread = threading.Thread(target=lose_a_node, daemon=True)
    thread.start()
    result = nas.search(space, storage=storage, trials=int(trials), epochs=int(epochs), progress=notes)
    print(json.dumps({"ended": result.ended, "lost": not thread.is_alive(), "notes": notes.notes}), flush=True)
    ray.shutdown()
    cluster.shutdown()


def _complete(storage: str) -> int:
    try:
        with Store.open(storage) as store:
            return int((store.trials("tiny-digits", assignments=False)["state"] == "complete").sum())
    except nas.errors.StorageError:  # not made yet
        return 0


if __name__ == "__main__":
    main()
