from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "first_gpu.py"


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    output = tmp_path / "first_gpu.json"
    done = subprocess.run([sys.executable, SCRIPT, "-o", output], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no GPU that PyTorch" in done.stderr
    assert not output.exists()


@pytest.mark.long
def test_a_part_that_fails_is_reported_beside_the_others(tmp_path: Path) -> None:
    output = tmp_path / "first_gpu.json"
    command = [sys.executable, SCRIPT, "--device", "cpu", "--parts", "memory", "faults", "-o", output]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "failed: memory; all else is in" in done.stderr
    assert "| faults | wrong_shapes, state | failed |" in done.stdout
