"""What a `forward` may ask and do while it is followed, so that what is found holds at any call."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .installed import is_of_pytorch


class Mode:
    """What `self.training` is while a module is followed; functions are given it as it is.

    A condition on it is answered as in evaluation, and refused where the module is in training:
    of its two networks only one could be taken over.
    """

    def __init__(self, kind: str, is_training: bool) -> None:
        self._kind, self._is_training = kind, is_training

    def __bool__(self) -> bool:
        if self._is_training:
            raise ValueError(
                f"the forward of {self._kind} is another one while self.training; call "
                f".eval() first, for the network it is in evaluation"
            )
        return False


@contextmanager
def watched(torch: Any, module: Any) -> Iterator[None]:
    """Give modules of one's own a `Mode`, and refuse a `forward` that leaves something changed.

    Raises
    ------
    ValueError
        If random numbers were drawn, or numbers and tensors of a module were changed.
    """
    own = [each for each in module.modules() if not is_of_pytorch(each)]
    before, modes = _state(torch, module), [each.training for each in own]
    try:
        for each, mode in zip(own, modes, strict=True):
            vars(each)["training"] = Mode(type(each).__name__, mode)
        yield
    finally:
        for each, mode in zip(own, modes, strict=True):
            vars(each)["training"] = mode
    after = _state(torch, module)
    changed = [what for what in after if after[what] != before.get(what)]
    if changed:
        raise ValueError(
            f"its forward changes {changed[0]} at each call, so that it is not the same network "
            f"twice, which has no counterpart"
        )


def _state(torch: Any, module: Any) -> dict[str, Any]:
    """What a `forward` could change: generators, and each module's numbers and tensors."""
    _, words, *rest = np.random.get_state()  # noqa: NPY002
    found: dict[str, Any] = {
        "the random numbers of Python": random.getstate(),
        "the random numbers of NumPy": (np.asarray(words).tobytes(), *rest),
        "the random numbers of PyTorch": torch.get_rng_state().numpy().tobytes(),
    }
    for place, each in module.named_modules():
        for name, value in {**vars(each), **each._buffers, **each._parameters}.items():
            what = f"{place}.{name}".lstrip(".")
            if isinstance(value, (int, float)):
                found[what] = value
            elif isinstance(value, torch.Tensor) and not value.is_inference():
                found[what] = id(value), value._version
    return found
