"""PyTorch itself, which only people who have it need."""

from typing import Any

SAME_NAME = (
    "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh",
)  # fmt: skip
"""Layers that PyTorch has under the same name, and that take no argument."""


def is_of_pytorch(module: Any) -> bool:
    """Whether a module is one of PyTorch's, whose `forward` is known, and not of one's own."""
    return type(module).__module__.startswith("torch.nn.")


def pytorch() -> Any:
    """The package.

    Raises
    ------
    ImportError
        If it is not installed; says how it comes.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("this needs PyTorch: pip install torch") from None
    return torch
