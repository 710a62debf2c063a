"""One thread at a time trains a layer: what training leaves in it belongs to that thread.

Prediction needs no turn, as it leaves nothing behind. Layers may be part of several models, so it
is the layers whose turn is taken.
"""

import os
import threading
from collections.abc import Iterable, Sequence

from ..layers import Layer

_guard = threading.Lock()


def _renew() -> None:
    """In a forked process another thread may have held the lock, which nobody would let go."""
    global _guard
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def take(who: str, layers: Sequence[Layer]) -> list[Layer]:
    """Take the turn of all layers, and return those whose turn was not this thread's yet.

    Raises
    ------
    RuntimeError
        If another thread has the turn of one of them; then none is taken.
    """
    me = threading.current_thread()
    with _guard:
        for layer in layers:
            other = layer.trainer
            if other is not None and other is not me and other.is_alive():
                raise RuntimeError(
                    f"{who}: the thread {other.name!r} is training this model, or layers of it, so "
                    f"{me.name!r} cannot: let one thread train at a time, or train a copy, "
                    f"copy.deepcopy(model); predict and evaluate are for any number of threads"
                )
        taken = [layer for layer in layers if layer.trainer is not me]
        for layer in taken:
            vars(layer)["trainer"] = me  # which is no setting, see `Layer.__setattr__`
    return taken


def release(layers: Iterable[Layer]) -> None:
    """Let another thread train these layers."""
    for layer in layers:
        vars(layer)["trainer"] = None


class Turn:
    """The turn of all layers for the length of a with block."""

    def __init__(self, who: str, layers: Sequence[Layer]) -> None:
        self._who, self._layers = who, layers
        self._taken: list[Layer] = []

    def __enter__(self) -> None:
        self._taken = take(self._who, self._layers)

    def __exit__(self, *_: object) -> None:
        release(self._taken)
