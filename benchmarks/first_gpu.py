"""The first ten minutes on a GPU: what this project can only suppose without one.

    python benchmarks/first_gpu.py [--parts kernels graphs …] [-o first_gpu.json]

Needs PyTorch with CUDA and networkx beside what nas itself needs; no Ray, no database, no data set. Every part runs in a process of
its own, and one that fails is reported beside the others. It writes one JSON file, and a table that fits into docs/.
Without a GPU it says so, and ends with exit code 2. --device cpu tries the script itself: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _gpu_parts import PARTS, one_process

SECONDS = 300.0
"""A part that takes longer has failed."""


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=f"Of {', '.join(PARTS)}."
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("first_gpu.json"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what a process of a part is started with
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        print(
            f"first_gpu: no GPU that PyTorch {torch.__version__} ({built}) can use; nothing was measured",
            file=sys.stderr,
        )
        sys.exit(2)
    if arguments.part == "one process":
        print(one_process(device, arguments.until))
        return
    if arguments.part is not None:
        print(json.dumps(PARTS[arguments.part](device)))
        return
    found: dict[str, Any] = {"environment": environment(device)}
    for name in arguments.parts:
        begun = time.perf_counter()
        found[name] = measured(name, device)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        arguments.output.write_text(json.dumps(found, indent=1))
    print("\n".join(table(found)))
    failed = [name for name in arguments.parts if "failed" in found[name]]
    if failed:
        print(f"first_gpu: failed: {', '.join(failed)}; all else is in {arguments.output}", file=sys.stderr)


def environment(device: torch.device) -> dict[str, Any]:
    """What was measured on."""
    known: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": device.type}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        known |= {
            "device": properties.name,
            "GiB": round(properties.total_memory / 2**30, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "cudnn": torch.backends.cudnn.version(),
        }
    return known


def measured(part: str, device: torch.device) -> dict[str, Any]:
    """What a part has found; its last words where it failed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--device", device.type, "--part", part]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {SECONDS:.0f} s"}
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    problems = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]  # CUDA's go on for lines
    return {"failed": (problems or lines)[-1][:500]}


def table(found: dict[str, Any]) -> list[str]:
    """Lines of Markdown: a row for each value."""
    lines = ["| part | of | value |", "|---|---|---|"]

    def rows(part: str, path: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                rows(part, f"{path}, {name}" if path else str(name), inner)
            return
        shown = f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")
        lines.append(f"| {part} | {path} | {shown} |")

    for part, value in found.items():
        rows(part, "", value)
    return lines


if __name__ == "__main__":
    main()
