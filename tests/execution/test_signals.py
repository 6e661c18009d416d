"""What ends a search in good order: Ctrl-C, a batch system, a terminal that is closed."""

from __future__ import annotations

import os
import signal

import pytest

from nas.execution.session import stoppable
from nas.execution.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_and_a_second_one_at_once(number: signal.Signals) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        run = Stop()
        with stoppable(run):
            os.kill(os.getpid(), number)
            assert run.reason == "interrupted"
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_is_no_end() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = Stop()
        with stoppable(run):
            os.kill(os.getpid(), signal.SIGHUP)
            assert run.reason is None
    finally:
        signal.signal(signal.SIGHUP, before)
