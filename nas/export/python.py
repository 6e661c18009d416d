"""An architecture as one readable file of plain PyTorch that needs nothing of nas."""

from __future__ import annotations

import json
import keyword
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from blocks import BLOCKS
from blocks.base import Scalar, Shape
from nas.architecture.architecture import INPUT, Architecture, Node
from nas.architecture.cost import shapes
from nas.data.task_type import TaskType
from nas.export import features, inference
from nas.export.source import WIDTH, Extract, Imported, extract
from nas.text.sanitize import visible

_RESERVED = ("CLASSES", "INPUT", "MEAN", "STD", "Network", "main", "nn", "torch")
_VARIABLES = ("x", "y", "z", "u", "v", "w")

_NETWORK = '''class Network(nn.Module):
    """{summary}"""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def forward(self, x: Tensor) -> Tensor:
{forward}
'''

_LAYERS = """        layers: dict[str, nn.Module] = {{
{layers}
        }}
        for path, layer in layers.items():
            *groups, name = path.split(".")
            parent: nn.Module = self
            for group in groups:
                if group not in parent._modules:
                    parent.add_module(group, Group())
                parent = parent.get_submodule(group)
            parent.add_module(name, layer)
"""

_GROUP = '''class Group(nn.Module):
    """Layers under one name: `group.conv`, and `group[0]` for a copy that is known by its number."""

    def __getitem__(self, number: int) -> nn.Module:
        return self.get_submodule(str(number))
'''

_MAIN = '''def main() -> None:
    """Builds the network with random weights and says what it makes of an image."""
    network = Network().eval()
    with torch.no_grad():
        logits = network(torch.zeros(1, *INPUT))
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{count:,} parameters; {(1, *INPUT)} -> {tuple(logits.shape)}")


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True)
class Notes:
    """What the head of the file says about the network."""

    title: str
    facts: Sequence[str] = ()
    """One line each."""
    weights: str | None = None
    """Name of the file of weights beside it."""
    class_names: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = field(default=())
    type: TaskType | None = None
    """What comes out of the network; None: nobody knows."""
    features: bool = False
    """Whether there is a class `Features` too, which returns the maps of every stage."""

    @property
    def can_predict(self) -> bool:
        """Whether the file knows enough to say what is on an image: the weights, and how images and classes are to be taken."""
        return inference.can_say(self.type) and self.weights is not None and bool(self.class_names) and bool(self.mean)

    @property
    def bound(self) -> float | None:
        """The probability above which a label counts as said, where an image may have several."""
        return None if self.type is None else self.type.bound


def to_python(architecture: Architecture, input: Shape, classes: int, notes: Notes) -> str:
    """The text of a module whose class `Network` has the modules, and so the state dict, of the compiled model.

    With one seed it also draws the same weights: the layers are made in the same order. Raises ExportError when a
    block needs more than PyTorch and the standard library, Infeasible when shapes cannot meet.
    """
    names = dict.fromkeys(node.block for node in architecture.nodes)
    found = extract([BLOCKS[name].module for name in names], (*_RESERVED, *inference.NAMES, *features.NAMES, "Group"))  # type: ignore[misc]
    for needed in (
        Imported("torch", None, "torch"),
        Imported("torch", "nn", "nn"),
        Imported("torch", "Tensor", "Tensor"),
        *(inference.IMPORTS if notes.can_predict else ()),
    ):
        found.imports[needed.bound] = needed
    shape_of = shapes(architecture, input, classes)
    opening = [
        f'"""{_head(notes, input, classes)}"""',
        "from __future__ import annotations",
        _imports(found),
        _constants(notes, input),
    ]
    parts = ["\n\n".join(opening), *_definitions(found, names)]
    grouped = any("." in node.name for node in architecture.nodes)
    layers = "\n".join(_layer(node, found, shape_of, classes, grouped) for node in architecture.nodes)
    if grouped:
        parts.append(_GROUP)
        layers = _LAYERS.format(layers=layers).rstrip("\n")
    parts.append(
        _NETWORK.format(
            summary=f"x (B, {', '.join(map(str, input))}) -> (B, {classes})",
            layers=layers,
            forward="\n".join(_forward(architecture, shape_of)),
        )
    )
    if notes.features:
        parts += [features.FEATURE_INFO, _features(architecture, shape_of, input)]
    if notes.can_predict:
        parts += [inference.LOAD, inference.TRANSFORM]
        several = (inference.PREDICT_LABELS, inference.LABELS, inference.MAIN_LABELS)
        parts += [inference.PREDICT, inference.MAIN] if notes.bound is None else several
    else:
        parts.append(_MAIN)
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(notes: Notes, input: Shape, classes: int) -> str:
    example = ["network = Network()"]
    if notes.can_predict:
        example = [
            'predict("photo.jpg")  # the classes with their probabilities, the likeliest first',
            *(['labels("photo.jpg")  # those above THRESHOLD'] if notes.bound is not None else []),
            "network = load()",
        ]
    elif notes.weights is not None:
        example.insert(0, "import safetensors.torch")
        example.append(f'network.load_state_dict(safetensors.torch.load_file("{notes.weights}"))')
    images = f"images (B, {', '.join(map(str, input))})"
    evaluation = "" if notes.can_predict else ".eval()"
    example.append(f"logits = network{evaluation}(images)  # {images} -> (B, {classes})")
    scaled = "Images have values from 0 to 1, minus MEAN, divided by STD, channel by channel." if notes.mean else ""
    if notes.can_predict:
        scaled = "transform makes such a tensor of an image of Pillow; what is not in here needs torch, safetensors and Pillow."
    lines = [
        visible(notes.title),
        "",
        *[visible(fact) for fact in notes.facts],
        "",
        "::",
        "",
        *("    " + line for line in example),
        *(["", scaled] if scaled else []),
    ]
    text = "\n".join("\n".join(textwrap.wrap(line, WIDTH)) if not line.startswith(" ") else line for line in lines)
    return text.replace("\\", "\\\\").replace('"""', "'''") + "\n"


def _imports(found: Extract) -> str:
    whole = sorted(item.statement for item in found.imports.values() if item.name is None)
    parts: dict[str, list[str]] = {}
    for item in found.imports.values():
        if item.name is not None:
            alias = "" if item.bound == item.name else f" as {item.bound}"
            parts.setdefault(item.module, []).append(item.name + alias)
    some = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(parts.items())]
    lines = [*whole, *some]
    theirs = [line for line in lines if line.split()[1].partition(".")[0] == "torch"]
    standard = [line for line in lines if line not in theirs]
    return "\n\n".join("\n".join(block) for block in (standard, theirs) if block)


def _constants(notes: Notes, input: Shape) -> str:
    lines = [f"INPUT = {input!r}  # channels, height, width"]
    if notes.mean:
        lines += [f"MEAN = {tuple(notes.mean)!r}", f"STD = {tuple(notes.std)!r}"]
    if notes.can_predict:
        lines.append(f"WEIGHTS = {_value(notes.weights or '')}  # beside this file")
        if notes.bound is not None:
            lines.append(f"THRESHOLD = {notes.bound!r}  # the probability above which a label is said to be there")
    if notes.class_names:
        lines.append(_call("CLASSES = (", [_value(name) for name in notes.class_names], ")", 0, many=True))
    return "\n".join(lines)


def _definitions(found: Extract, names: Iterable[str]) -> list[str]:
    head = {(BLOCKS[name].module.__module__, BLOCKS[name].module.__name__): name for name in names}
    texts = []
    for key, text in found.sources.items():
        comment = (
            f"# {': '.join(part for part in (head[key], BLOCKS[head[key]].source) if part)}\n" if key in head else ""
        )
        texts.append(comment + text)
    return texts


def _layer(node: Node, found: Extract, shape_of: dict[str, Shape], classes: int, grouped: bool) -> str:
    """One layer with the arguments that its class does not have by default: an entry of a dictionary, or an attribute."""
    block = BLOCKS[node.block]
    in_shapes = tuple(shape_of[name] for name in node.inputs)
    filled = {"in_channels": in_shapes[0][0], "in_shape": in_shapes[0], "in_shapes": in_shapes, "classes": classes}
    params = dict(node.params)
    arguments = [repr(filled[name]) for name in block.filled_in]
    for name, hyperparameter in block.hyperparameters.items():
        value = params[name]
        if hyperparameter.is_width or not _same(value, hyperparameter.default):
            arguments.append(f"{name}={_value(value)}")
    called = found.names[block.module.__module__, block.module.__name__]
    if grouped:
        return _call(f"{_value(node.name)}: {called}(", arguments, "),", 12)
    return _call(f"self.{node.name} = {called}(", arguments, ")", 8)


def _call(begin: str, arguments: Sequence[str], end: str, indent: int, *, many: bool = False) -> str:
    """As a formatter lays a call out: on one line, its arguments on one line, or each on its own."""
    space = " " * indent
    comma = "," if many and len(arguments) == 1 else ""
    flat = f"{space}{begin}{', '.join(arguments)}{comma}{end}"
    if len(flat.splitlines()[0]) <= WIDTH:
        return flat
    inner = f"{space}    {', '.join(arguments)}"
    if len(inner) <= WIDTH and not many:
        return f"{space}{begin}\n{inner}\n{space}{end}"
    return "\n".join([space + begin, *(f"{space}    {argument}," for argument in arguments), space + end])


def _features(architecture: Architecture, shape_of: dict[str, Shape], input: Shape) -> str:
    """The class `Features`."""
    stages = features.stages_of(architecture, shape_of, input)
    rows = [
        f'            {{"num_chs": {stage.shape[0]}, "reduction": {stage.reduction}, "module": {_value(stage.node)}}},'
        for stage in stages
    ]
    lines, variable = _lines(architecture, shape_of, [stage.node for stage in stages])
    names = ", ".join(variable[stage.node] for stage in stages)
    forward = [*lines, f"        return [{names}]"]
    return features.FEATURES.format(input=", ".join(map(str, input)), info="\n".join(rows), forward="\n".join(forward))


def _forward(architecture: Architecture, shape_of: dict[str, Shape]) -> list[str]:
    """One line a node, and what is returned."""
    lines, variable = _lines(architecture, shape_of, [architecture.output])
    return [*lines, f"        return {variable[architecture.output]}"]


def _lines(
    architecture: Architecture, shape_of: dict[str, Shape], wanted: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """One line for each node up to the last one that is wanted, and the variables that hold these at the end.

    A variable is taken over by the node that reads it last, as a person writes it.
    """
    needed = set(wanted)
    for node in reversed(architecture.nodes):
        needed |= set(node.inputs) if node.name in needed else set()
    nodes = [node for node in architecture.nodes if node.name in needed]
    last_use = {name: place for place, node in enumerate(nodes) for name in node.inputs}
    last_use |= dict.fromkeys(wanted, len(nodes))
    variable = {INPUT: "x"}
    lines = []
    for place, node in enumerate(nodes):
        inputs = [variable[name] for name in node.inputs]
        kept = {word for name, word in variable.items() if last_use.get(name, -1) > place}
        variable = {name: word for name, word in variable.items() if word in kept}
        variable[node.name] = next(word for word in _words() if word not in kept)
        shape = "×".join(map(str, shape_of[node.name]))
        lines.append(f"        {variable[node.name]} = {_path(node.name)}({', '.join(inputs)})  # {shape}")
    return lines, variable


def _words() -> Iterable[str]:
    yield from _VARIABLES
    number = 0
    while True:
        yield f"x{number}"
        number += 1


def _path(name: str) -> str:
    text = "self"
    for part in name.split("."):
        if part.isdigit():
            text += f"[{part}]"
        elif keyword.iskeyword(part):
            text += f'.get_submodule("{part}")'
        else:
            text += f".{part}"
    return text


def _same(value: Scalar, default: Scalar) -> bool:
    return type(value) is type(default) and value == default


def _value(value: Scalar) -> str:
    if isinstance(value, str) and '"' not in value and value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
