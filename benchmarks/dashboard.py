"""Seconds until the dashboard of a large study answers and is seen, against Optuna Dashboard on the same database.

    python benchmarks/dashboard.py [--trials 2000] [--database FILE] [--json]

The study has invented results on real architectures of attn_cnn. With Playwright and Debian's chromium it is also opened
in a browser; otherwise only the answers to the page are timed. `--database` keeps the study for another run.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from optuna_dashboard import wsgi
from optuna_dashboard._cli import ThreadedWSGIServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

from nas.dashboard import Dashboard
from nas.store import Store
from tests.browser import CHROMIUM, FLAGS
from tests.dashboard.conftest import TASK
from tests.store.filling import fill, make_study

STUDY = "large"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def ours(store: Store) -> Iterator[str]:
    """Serves with `nas dashboard`; gives the address."""
    dashboard = Dashboard(store, None, port=0)
    thread = threading.Thread(target=dashboard.serve)
    thread.start()
    try:
        yield dashboard.url.removesuffix("/dashboard")
    finally:
        dashboard.stop()
        thread.join()


@contextmanager
def theirs(store: Store) -> Iterator[str]:
    """Serves with `optuna-dashboard`."""
    server = make_server(
        "127.0.0.1", 0, wsgi(store.optuna_storage()), server_class=ThreadedWSGIServer, handler_class=_Quiet
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(address: str, trials: int) -> tuple[float, float, int]:
    """Seconds of the first answer and of one that asks for what is new (median of 5), and bytes of the first."""

    def ask(after: int) -> tuple[float, int]:
        begun = time.perf_counter()
        with urllib.request.urlopen(f"{address}/api/studies/1?after={after}", timeout=600) as response:
            size = len(response.read())
        return time.perf_counter() - begun, size

    first, size = ask(0)
    return first, statistics.median(ask(trials)[0] for _ in range(5)), size


def seen(address: str, trial: int) -> tuple[float, float, float]:
    """Seconds until a browser shows the front, then a trial's page from its address, then another one that was clicked."""
    from playwright.sync_api import sync_playwright

    def until(action: Callable[[], object]) -> float:
        begun = time.perf_counter()
        action()
        return time.perf_counter() - begun

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(300_000)
        page.goto(f"{address}/api/meta")  # the start of the browser counts for nobody

        def front() -> None:
            page.goto(f"{address}/dashboard/studies/1")
            page.locator(".js-plotly-plot .point").first.wait_for()
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")

        def one() -> None:
            page.goto(f"{address}/dashboard/studies/1/trials?numbers={trial}")
            page.get_by_role("heading", name=f"Trial {trial}").wait_for()
            page.get_by_text("User Attributes").first.wait_for()

        def another() -> None:
            page.get_by_text("Trial 3", exact=True).first.click()  # the list holds only those in sight
            page.get_by_role("heading", name="Trial 3 ").wait_for()

        times = until(front), until(one), until(another)
        browser.close()
        return times


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"optuna\.importance")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.database or Path(folder) / "nas.db"
        made = path.exists()
        with Store.open(f"sqlite:///{path}", create=True) as store:
            if not made:
                print(f"writing {arguments.trials:,} trials", file=sys.stderr)
                make_study(store, STUDY, "attn_cnn", task=TASK)
                fill(store, STUDY, arguments.trials, space="attn_cnn")
            trials = len(store.trials(STUDY, assignments=False))
            number = random.Random(0).randrange(trials - 1)
        found: dict[str, dict[str, float]] = {}
        for name, serve in (("nas dashboard", ours), ("optuna-dashboard", theirs)):
            with Store.open(f"sqlite:///{path}") as store, serve(store) as address:
                first, later, size = answers(address, trials)
                found[name] = {"first answer": first, "what is new": later, "megabytes": size / 1e6}
                if CHROMIUM.exists():
                    front, one, another = seen(address, number)
                    found[name] |= {"front seen": front, "trial page seen": one, "another trial seen": another}
    if arguments.json:
        print(json.dumps({"trials": trials, **found}))
        return
    print(environment_line())
    print(f"{trials:,} trials of attn_cnn; seconds")
    for what in found["nas dashboard"]:
        print(f"{what:18}" + "".join(f"{values[what]:9.2f} {name:18}" for name, values in found.items()))


if __name__ == "__main__":
    main()
