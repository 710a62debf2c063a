"""Convolutional networks on the CPU, readable and fast.

Examples
--------
>>> from fastcnn import datasets, models
>>> digits = datasets.load("digits")
>>> model = models.build("mnist-baseline")
>>> history = model.train(digits.x_train, digits.y_train, epochs=2)  # doctest: +SKIP
>>> loss, accuracy = model.evaluate(digits.x_test, digits.y_test)
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import signals  # noqa: F401  from here on a command answers Ctrl-C

__version__ = "0.1.0"


def _check_kernels() -> None:
    """Another distribution has a top-level package `kernels` too; say so if it is in the way."""
    try:
        import kernels
    except ImportError:
        raise ImportError(
            "fastcnn needs its package `kernels`, which is not installed; reinstall fastcnn"
        ) from None
    if getattr(kernels, "__fastcnn__", None) is None:
        place = getattr(kernels, "__file__", None) or list(getattr(kernels, "__path__", []))
        raise ImportError(
            f"fastcnn found a package `kernels` that is not its own, at {place}: another "
            f"distribution uses that name; uninstall it, or put fastcnn before it on sys.path"
        )


_check_kernels()

if TYPE_CHECKING:
    from . import (
        backends,
        check,
        datasets,
        exchange,
        layers,
        losses,
        models,
        optim,
        plots,
        schedules,
    )
    from .backends import backend, set_backend
    from .graph import Graph
    from .layers import Input
    from .sequential import Sequential, load_model
    from .training.augment import Augment

__all__ = [
    "Augment",
    "Graph",
    "Input",
    "Sequential",
    "__version__",
    "backend",
    "backends",
    "check",
    "datasets",
    "exchange",
    "layers",
    "load_model",
    "losses",
    "models",
    "optim",
    "plots",
    "schedules",
    "set_backend",
]

# Name -> the module that it comes from; the other names of __all__ are modules themselves.
_PLACES = {
    "Augment": "training.augment",
    "Graph": "graph",
    "Input": "layers",
    "Sequential": "sequential",
    "backend": "backends",
    "load_model": "sequential",
    "set_backend": "backends",
}


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for: `python -m fastcnn.train` must answer at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_PLACES.get(name, name)}", __name__)
    return getattr(module, name) if name in _PLACES else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
