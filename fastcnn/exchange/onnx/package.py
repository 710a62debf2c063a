"""The package onnx, which is optional, and what our files say besides the network."""

from typing import Any

OPSET = 17
PRODUCER = "fastcnn"
# Keys of a file's metadata, each with JSON.
NORMALIZATION, CLASS_NAMES, LEARNED_FROM = "normalization", "class_names", "learned_from"
TASK, LOSS = "task", "loss"
PIXELS = "uint8 pixels from 0 to 255"


def default_names(what: str, count: int) -> list[str]:
    """Of inputs or outputs that nobody named; what : "input" or "output"."""
    return [what] if count == 1 else [f"{what}_{i}" for i in range(count)]


def onnx() -> Any:
    """The package.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise ImportError(
            "ONNX files need the package onnx: pip install 'fastcnn[interop]'"
        ) from None
    return onnx
