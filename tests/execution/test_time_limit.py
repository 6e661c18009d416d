"""Time limits, on functions that hang."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from nas.execution.time_limit import TimedOut, TimeLimit


def _spin() -> None:
    while True:
        pass


def test_python_code_that_hangs_is_interrupted() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimedOut), TimeLimit(0.3).running():
        _spin()
    with pytest.raises(TimedOut), TimeLimit(0.3).running():
        time.sleep(3600)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_no_model_catches_it_by_accident() -> None:
    def careless() -> None:
        try:
            time.sleep(60)
        except Exception:
            pytest.fail("caught")

    with pytest.raises(TimedOut), TimeLimit(0.2).running():
        careless()


def test_only_the_time_inside_counts_and_it_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    alarms: list[float] = []
    monkeypatch.setattr("nas.execution.time_limit.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(signal, "setitimer", lambda kind, seconds: alarms.append(seconds))
    limit = TimeLimit(10.0)
    for _ in range(3):
        with limit.running():
            clock.now += 3.0
        clock.now += 60.0  # the driver takes its time
    with limit.running():
        clock.now += 1.0
    assert alarms[::2] == [10.0, 7.0, 4.0, 1.0]
    assert alarms[1::2] == [0.0] * 4, "each alarm is turned off"
    with pytest.raises(TimedOut), limit.running():
        pytest.fail("nothing is left")
    with TimeLimit(None).running():
        pass


def test_native_code_that_hangs_takes_its_process_with_it() -> None:
    """A loop in C that never looks for signals: no Python runs any more, so the alarm is not heard."""
    code = (
        "import itertools, nas.execution.time_limit as limit\n"
        "limit.GRACE_SECONDS = 0.3\n"
        "with limit.TimeLimit(0.3).running():\n"
        "    sum(itertools.repeat(0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=50, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Timeout (0:00:00.6" in done.stderr  # and says where
    assert 'File "<string>", line 4' in done.stderr


def test_in_a_thread_the_process_still_ends() -> None:
    code = (
        "import threading, time, nas.execution.time_limit as limit\n"
        "limit.GRACE_SECONDS = 0.2\n"
        "def hang():\n"
        "    with limit.TimeLimit(0.2).running():\n"
        "        time.sleep(60)\n"
        "threading.Thread(target=hang).start()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=50, capture_output=True).returncode == 1


def test_a_block_that_ends_in_time_leaves_nothing_behind() -> None:
    with TimeLimit(0.2).running():
        pass
    thread = threading.Thread(target=time.sleep, args=(0.4,))
    thread.start()
    thread.join()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
