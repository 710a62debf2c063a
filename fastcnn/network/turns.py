"""One thread at a time trains a layer: what training leaves in it belongs to that thread.

Prediction needs no turn, as it leaves nothing behind. Layers may be part of several models, so it
is the layers whose turn is taken; but those of a model are taken in one stroke, as long as nobody
else has taken one of them in the meantime.
"""

import os
import threading
from collections.abc import Sequence

from ..layers import Layer

_guard = threading.Lock()


def _renew() -> None:
    """In a forked process another thread may have held the lock, which nobody would let go."""
    global _guard
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Turn:
    """The turn of layers that are trained together. `Layer.trainer` is the one that took it last.

    Attributes
    ----------
    thread : Thread, optional
        Whose turn it is.
    """

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self._has_all = False  # whether it is the `trainer` of all its layers

    def take(self, who: str, layers: Sequence[Layer]) -> bool:
        """Take the turn, of the same layers each time; whether it was not this thread's already.

        Raises
        ------
        RuntimeError
            If another thread has the turn of one of them; then none is taken.
        """
        me = threading.current_thread()
        with _guard:
            if not self._has_all or self.other_than(me) is not None:
                self._take_each(who, layers, me)
            is_new = self.thread is not me
            self.thread = me
        return is_new

    def release(self) -> None:
        """Let another thread train these layers."""
        self.thread = None

    def other_than(self, me: threading.Thread) -> threading.Thread | None:
        """The other thread that has it, if one has and lives; it may let go at any moment."""
        thread = self.thread
        return thread if thread is not None and thread is not me and thread.is_alive() else None

    def _take_each(self, who: str, layers: Sequence[Layer], me: threading.Thread) -> None:
        for layer in layers:
            turn = layer.trainer
            other = None if turn is None else turn.other_than(me)
            if other is not None:
                raise RuntimeError(
                    f"{who}: the thread {other.name!r} is training this model, or layers of it, so "
                    f"{me.name!r} cannot: let one thread train at a time, or train a copy, "
                    f"copy.deepcopy(model); predict and evaluate are for any number of threads"
                )
        self._has_all = True
        for layer in layers:
            turn = layer.trainer
            if turn is self:
                continue
            if turn is not None and turn.thread is me:
                self._has_all = False  # it is trained in another model, which will release it
                continue
            if turn is not None:
                turn._has_all = False
            vars(layer)["trainer"] = self  # which is no setting, see `Layer.__setattr__`


class Holding:
    """A turn, for the length of a with block."""

    def __init__(self, turn: Turn, who: str, layers: Sequence[Layer]) -> None:
        self._turn, self._who, self._layers = turn, who, layers
        self._is_new = False

    def __enter__(self) -> None:
        self._is_new = self._turn.take(self._who, self._layers)

    def __exit__(self, *_: object) -> None:
        if self._is_new:
            self._turn.release()
