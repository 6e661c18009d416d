"""Whether exported files compute the same: they are run in a Python process that cannot see nas."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from blocks.base import Shape
from nas.errors import ExportError
from nas.system.temporary_folders import scratch_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 3
SECONDS = 300

# -I: neither the folder at hand nor PYTHONPATH is searched; what is imported all the same is looked at.
_RUN = """
import importlib.util, json, sys
from safetensors.torch import load_file, save_file
import torch
plan = json.loads(sys.argv[1])
torch.set_num_threads(plan["threads"])
for path, given, taken in plan["files"]:
    spec = importlib.util.spec_from_file_location("network", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not {"nas", "blocks"} & {name.partition(".")[0] for name in sys.modules}, "it imports nas"
    network = module.Network()
    tensors = load_file(given)
    images = tensors.pop("images")
    network.load_state_dict(tensors)
    with torch.no_grad():
        logits = network.eval()(images)
    if hasattr(module, "Features"):
        backbone = module.Features()
        backbone.load_state_dict(tensors)
        with torch.no_grad():
            maps = backbone.eval()(images)
        assert [x.shape[1] for x in maps] == backbone.feature_info.channels(), "its maps have other channels"
        sides = [round(images.shape[2] / x.shape[2]) for x in maps]
        assert sides == backbone.feature_info.reduction(), "its maps have other reductions"
    save_file({"logits": logits.contiguous()}, taken)
"""


def check_python(path: Path, model: nn.Module, input: Shape) -> None:
    """Raises ExportError unless the `Network` of the file loads the state of `model` and gives its logits to the bit."""
    check_python_files({path: (model, input)})


def check_python_files(files: Mapping[Path, tuple[nn.Module, Shape]]) -> None:
    """Checks many files as `check_python` does one, in one process: PyTorch is imported once."""
    import torch
    from safetensors.torch import load_file, save_file

    wanted: list[Tensor] = []
    with scratch_folder("export") as folder:
        rows = []
        for place, (path, (model, input)) in enumerate(files.items()):
            images = torch.randn(BATCH, *input, generator=torch.Generator().manual_seed(0))
            wanted.append(_logits(model, images))
            given, taken = Path(folder, f"given_{place}.safetensors"), Path(folder, f"taken_{place}.safetensors")
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
            save_file({**state, "images": images}, given)
            rows.append((str(path.absolute()), str(given), str(taken)))
        plan = json.dumps({"files": rows, "threads": torch.get_num_threads()})
        try:
            ended = subprocess.run(
                [sys.executable, "-I", "-B", "-c", _RUN, plan],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            raise ExportError(f"the exported file gave no answer in {SECONDS} s") from None
        if ended.returncode:
            lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
            raise ExportError(f"the exported file does not run on its own: {lines[-1]}")
        for (_, _, result), logits in zip(rows, wanted, strict=True):
            if not torch.equal(load_file(result)["logits"], logits):
                raise ExportError("the exported file does not give the logits of the model")


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    import torch

    training = model.training
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(images)
    model.train(training)
    return logits
