"""Shared by every test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from nas.cli import main
from tests.browser import browser, open_page
from tests.postgres import PostgresServer

__all__ = ["browser", "open_page"]

REPOSITORY = Path(__file__).resolve().parents[1]

Run = Callable[..., tuple[int, str, str]]

torch.set_num_threads(1)
# On a busy machine examples are slow, which says nothing of the code.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `nas …` in a new folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_STORAGE", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        output = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, output.out, output.err

    return call


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the checkout; a test that needs it is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (CIFAR-10 images, NAS-Bench-Macro), which is not part of a checkout")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; skipped where there is none."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray with two slots, whatever the machine has; workers find the test blocks, and a folder for what they note."""
    import ray

    from nas.execution.session import RAY_SETTINGS

    context = ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config=RAY_SETTINGS,
        runtime_env={
            "env_vars": {"PYTHONPATH": str(REPOSITORY), "NAS_TEST_FOLDER": str(tmp_path_factory.mktemp("workers"))},
            "worker_process_setup_hook": "tests.conftest.register_test_blocks",
        },
    )
    yield
    ray.shutdown()
    shutil.rmtree(context.address_info["session_dir"], ignore_errors=True)


def register_test_blocks() -> None:
    """Called by Ray in every new worker."""
    import blocks
    import tests.failing

    assert tests.failing.__name__
    assert blocks.BLOCKS
