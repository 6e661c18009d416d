"""The networks that are shipped with attn_cnn for a search of other photos to learn of: a search on CIFAR-10 photos.

    python benchmarks/shipped_prior.py --archive CIFAR10.zip [--trials 200] [--storage sqlite:///prior.db] [--output FILE.csv.gz]

`nas search` with `pareto`, without an earlier study: networks of at most 500,000 parameters and 20 M MACs in 1,000 steps on 3,000
photos of ten classes, drawn from the training part of the archive, 32x32 pixels, and measured on 1,000 others of that part. What
a search has finished stands in the database; the same command goes on. The file has the complete trials: what they reached, on
how many images, and their choices.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _photo_sets import CLASSES, PhotoSet, draw

import nas
from nas.searches.earlier_studies import IMAGES, shipped_trials
from nas.space.space import Space
from nas.states import State
from nas.store import Store
from nas.store.export import write

PHOTOS = PhotoSet("prior", CLASSES, (400,) * len(CLASSES), 300)
STUDY = "attn_cnn-photos"


def main() -> None:
    """Searches as far as it has not been done, and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="zip of CIFAR-10 images")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--time", help="such as 2h: what is done by then")
    parser.add_argument("--storage", default="sqlite:///runs/prior.db")
    parser.add_argument("--output", type=Path, default=shipped_trials(Space.load("attn_cnn")))
    options = parser.parse_args()
    cache = Path(gettempdir()) / "nas-photos"
    draw(PHOTOS, 0, options.archive, cache)
    nas.search(
        "attn_cnn",
        data=f"imagefolder:{PHOTOS.folder(cache, 0)}",
        validation=0.25,
        trials=options.trials,
        time=options.time,
        steps=1_000,
        max_parameters=500_000,
        max_macs=20_000_000,
        prior=["none"],
        study=STUDY,
        storage=options.storage,
    )
    with Store.open(options.storage) as store:
        trials, images = store.trials(STUDY), store.study(STUDY).validation_images
    trials = trials[trials["state"] == State.COMPLETE]
    frame = trials[["accuracy", "assignment"]].assign(**{IMAGES: images}).reset_index(drop=True)
    frame["accuracy"] = frame["accuracy"].round(4)
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "trials.csv"
        write(frame, plain)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        # without the time of writing, so that the same trials make the same file
        options.output.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    print(f"{options.output}: {len(frame)} networks")


if __name__ == "__main__":
    main()
