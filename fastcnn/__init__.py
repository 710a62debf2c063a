"""Convolutional networks on the CPU, readable and fast.

Example:
    >>> from fastcnn import datasets, models
    >>> digits = datasets.load("digits")
    >>> model = models.build("mnist-baseline")
    >>> history = model.train(digits.x_train, digits.y_train, epochs=2)  # doctest: +SKIP
    >>> loss, accuracy = model.evaluate(digits.x_test, digits.y_test)
"""

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

from . import backends, datasets, layers, losses, models, optim, schedules  # noqa: E402
from .backends import backend, set_backend  # noqa: E402
from .checkpoint import load_model  # noqa: E402
from .model import Sequential  # noqa: E402

__all__ = [
    "Sequential",
    "__version__",
    "backend",
    "backends",
    "datasets",
    "layers",
    "load_model",
    "losses",
    "models",
    "optim",
    "schedules",
    "set_backend",
]
