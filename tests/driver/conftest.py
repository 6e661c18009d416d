"""One local Ray for all tests of the driver, and small spaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [2, 4, 8]}, kernel_size: {choose: [3, 5]}, stride: 2}
  body: {block: {choose: [conv, identity, depthwise_separable]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray with four slots, whatever the machine has; workers find the test blocks."""
    import ray

    repository = str(Path(__file__).resolve().parents[2])
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={
            "env_vars": {"PYTHONPATH": repository},
            "worker_process_setup_hook": "tests.driver.conftest.register_test_blocks",
        },
    )
    yield
    ray.shutdown()


def register_test_blocks() -> None:
    """Called by Ray in every new worker."""
    import blocks
    import tests.driver.failing

    assert tests.driver.failing.__name__
    assert blocks.BLOCKS


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    """A space of 36 small networks."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A new study database."""
    return f"sqlite:///{tmp_path / 'nas.db'}"
