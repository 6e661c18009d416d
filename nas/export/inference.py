"""What an exported file does beside its network: read its weights, make tensors of images, and say what it sees.

The text below is written into the file. It reads images as `nas.data.images` does, to the bit, and needs Pillow when it does.
"""

from __future__ import annotations

from nas.data.multi_label import MultiLabel
from nas.data.task_type import Classification, TaskType
from nas.export.source import Imported

IMPORTS = (Imported("sys", None, "sys"), Imported("pathlib", "Path", "Path"))
NAMES = ("Path", "THRESHOLD", "WEIGHTS", "labels", "load", "predict", "sys", "transform")
"""What no definition of a block may be called beside them."""


def can_say(task_type: TaskType | None) -> bool:
    """Whether an exported file can say what is on an image: its answers are logits of classes, or of labels."""
    return isinstance(task_type, Classification | MultiLabel)


LOAD = '''def load(weights: str | Path = Path(__file__).with_name(WEIGHTS)) -> Network:
    """The network in evaluation mode, with the weights of a file: by default that beside this one."""
    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(weights))
    return network.eval()
'''

TRANSFORM = '''def transform(image) -> Tensor:
    """An image of Pillow -> x (C, H, W), as the network was trained to see it.

    Upright as its EXIF data say, white where it is transparent, cut to the shape of INPUT and resized, minus MEAN, divided by STD.
    """
    from PIL import Image, ImageOps

    channels, height, width = INPUT
    lies = image.getexif().get(0x0112, 1) >= 5  # orientations that exchange width and height
    image.draft(None, (2 * height, 2 * width) if lies else (2 * width, 2 * height))  # JPEG files far larger than INPUT
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    x = pixels.view(height, width, channels).permute(2, 0, 1).contiguous().float() / 255
    return (x - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)
'''

PREDICT = '''def predict(path: str | Path, network: Network | None = None) -> dict[str, float]:
    """The classes with their probabilities for the image of a file, the likeliest first.

    For many images load the network once: predict(path, network).
    """
    from PIL import Image

    network = load() if network is None else network
    with Image.open(path) as image:
        x = transform(image)[None]
    with torch.no_grad():
        probabilities = network(x).softmax(1)[0].tolist()
    return dict(sorted(zip(CLASSES, probabilities), key=lambda pair: -pair[1]))
'''

PREDICT_LABELS = PREDICT.replace(
    """The classes with their probabilities for the image of a file, the likeliest first.
""",
    """Each label with its probability for the image of a file, the likeliest first; they add up to nothing.
""",
).replace(".softmax(1)", ".sigmoid()")
"""The same where an image may have several labels, or none."""

LABELS = '''def labels(path: str | Path, network: Network | None = None, threshold: float = THRESHOLD) -> list[str]:
    """The labels of the image of a file whose probability is above `threshold`, the likeliest first."""
    return [name for name, probability in predict(path, network).items() if probability > threshold]
'''

MAIN = '''def main() -> None:
    """Says what is on the images of the files that are named, or what the network is."""
    network = load()
    for path in sys.argv[1:]:
        best = list(predict(path, network).items())[:5]
        print(path, ", ".join(f"{name} {probability:.1%}" for name, probability in best))
    if not sys.argv[1:]:
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"{count:,} parameters; {(1, *INPUT)} -> {(1, len(CLASSES))}")


if __name__ == "__main__":
    main()
'''

MAIN_LABELS = MAIN.replace(
    """        best = list(predict(path, network).items())[:5]
        print(path, ", ".join(f"{name} {probability:.1%}" for name, probability in best))
""",
    """        found = predict(path, network)
        said = [f"{name} {probability:.1%}" for name, probability in found.items() if probability > THRESHOLD]
        likeliest = next(iter(found))
        print(path, ", ".join(said) or f"none above {THRESHOLD:.0%}; the likeliest: {likeliest} {found[likeliest]:.1%}")
""",
)
