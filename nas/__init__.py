"""Neural architecture search over convolution-attention image classifiers.

::

    import nas

    result = nas.search("attn_cnn", data="digits", trials=32)
    print(result.front)

    study = nas.load_study("attn_cnn-digits")
    model = study.model(study.pareto()["trial"].iloc[-1])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.driver.progress import Progress
    from nas.driver.search import SearchResult
    from nas.notebook import LoadedStudy

__version__ = "0.1.0"
__all__ = ["load_study", "search"]


def search(space: Any, *, progress: Progress | None = None, **options: Any) -> SearchResult:
    """Searches `space` and returns what was found; the options of `nas search`, with underscores.

    `space`: a file, the name of a shipped space, or a `nas.space.Space`. `data`: ``digits``, ``cifar10``, ``cifar100``,
    ``fashion_mnist`` or ``imagefolder:PATH``. `trials` counts the finished trials of the study in all, `time` is like
    ``"30m"``, `epochs` overrides the recipe's. `objectives`: accuracy (maximized), parameters, macs, activation_bytes
    (minimized). `recipe`: a file or a `nas.recipe.Recipe`. See `nas.driver.options.SearchOptions` for all of them.

    The same call again continues the study. Raises `nas.errors.NasError` when an option cannot be met.
    """
    from nas.driver.options import SearchOptions, check_names
    from nas.driver.search import search as run

    check_names(options)
    return run(SearchOptions(space, **options), progress)


def load_study(name: str | None = None, storage: str | None = None) -> LoadedStudy:
    """The study of that name (the only one, when None) in the database at `storage`, by default that of `nas search`.

    ``.trials()`` and ``.pareto()`` are pandas frames; ``.architecture(trial)``, ``.model(trial)`` and
    ``.export(trial, path)`` give one network as data, as a module with the weights there are, and as a file. The
    environment variable NAS_STORAGE names another default. Raises `nas.errors.StorageError` when there is no such study.
    """
    import os

    from nas.notebook import LoadedStudy

    return LoadedStudy(name, storage or os.environ.get("NAS_STORAGE"))
