"""Transfer learning: a model begins with what another one has learned.

    model = models.build("mnist-baseline", classes=5)
    print(load_fitting(model, "run/best.npz"))      # which arrays fit, which do not
    freeze(model, "all-but-last")                   # train the last layer only

All of it can be called as methods of a model, too: `model.load_fitting("run/best.npz")`.
Yosinski, Clune, Bengio, Lipson, "How transferable are features in deep neural networks?" (2014).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..checks import whole
from ..layers import Dense, Layer, from_spec
from . import checkpoint
from .checkpoint import CheckpointError
from .network import Network

ALL_BUT_LAST = "all-but-last"

# Arrays that a sentence names before it only counts them.
_NAMED = 8


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What `load_fitting` took from a file; `str` says it in words.

    Attributes
    ----------
    path : str
        The file.
    taken : tuple[str, ...]
        Names of the model's arrays that came from the file.
    left : dict[str, str]
        Name -> reason, of the model's arrays that keep what they were.
    unused : tuple[str, ...]
        Names of the file's arrays that the model has no place for.
    """

    path: str
    taken: tuple[str, ...]
    left: dict[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} of {len(self.taken) + len(self.left)} arrays loaded"]
        if self.left:
            left = [f"{name} ({reason})" for name, reason in self.left.items()]
            parts.append(f"not loaded: {_listed(left)}")
        if self.unused:
            parts.append(f"only in the file: {_listed(self.unused)}")
        return f"from {self.path}: {'; '.join(parts)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def load_fitting(model: Network, path: str | Path) -> Loaded:
    """Copy every parameter and state from a saved model whose name and shape fit.

    Names are places: "0.weight" is the weight of the first layer, whatever its kind. Everything
    else, such as the model's `normalization`, stays as it is.

    Parameters
    ----------
    path : path
        A file of `Sequential.save`, or a training checkpoint.

    Returns
    -------
    Loaded
        What was loaded, and what was not and why.

    Raises
    ------
    CheckpointError
        A ValueError, if the file cannot be used, nothing in it fits or what does is not finite;
        the model is then as it was.

    Examples
    --------
    >>> from fastcnn import models
    >>> print(load_fitting(models.build("lenet5"), "run/best.npz"))  # doctest: +SKIP
    from run/best.npz: 10 of 10 arrays loaded
    """
    _, groups = checkpoint.read(path)
    stored = groups.get("model", {})
    own = dict(model.named_arrays())
    left = {}
    for name, array in own.items():
        if name not in stored:
            left[name] = f"not in the file, {array.shape} here"
        elif stored[name].shape != array.shape:
            left[name] = f"{stored[name].shape} in the file, {array.shape} here"
    taken = tuple(name for name in own if name not in left)
    unused = tuple(f"{name} {array.shape}" for name, array in stored.items() if name not in own)
    if not taken:
        name, reason = next(iter(left.items()), ("this model", "without parameters"))
        raise CheckpointError(
            f"nothing in {path} fits this model, whose first array is {name} ({reason}): load a "
            f"file of the same network"
        )
    for name in taken:
        if not np.isfinite(stored[name]).all():
            raise CheckpointError(f"{path} holds infinite numbers or NaN in {name}: load another")
    loaded = Loaded(str(path), taken, left, unused)
    for name in taken:
        own[name][...] = stored[name]
    return loaded


def freeze(model: Network, layers: int | str) -> None:
    """Freeze the first layers of a model, and let all others be trained.

    What a frozen layer is, `Layer.trainable` says. The backward pass of training ends at the
    first layer that is not frozen.

    Parameters
    ----------
    layers : int or str
        How many of `model.layers`, 0 for none; or "all-but-last": those before the last one that
        has parameters.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if layers == ALL_BUT_LAST:
        count = _head(model)
    else:
        count = whole("freeze", "the number of layers", layers, 0)
        if count > len(model.layers):
            raise ValueError(
                f"freeze: the model has {len(model.layers)} layers, {count} cannot be frozen"
            )
    for place, layer in enumerate(model.layers):
        layer.trainable = place >= count


def with_new_head(model: Network, classes: int) -> tuple[Layer, ...]:
    """The layers of a model, the last dense one replaced by a new one for so many classes.

    Raises
    ------
    ValueError
        If the last layer with parameters is no Dense, or classes is no whole number.
    """
    model.one_output("replace_head")
    place = _head(model)
    old = model.layers[place]
    if type(old) is not Dense:
        raise ValueError(f"replace_head: the last layer must be a Dense, got {old.name}")
    if not model.is_row and (model.ends != (old,) or len(model.copies(old)) > 1):
        raise ValueError(
            f"replace_head: in a Graph with branches the Dense that is replaced must give the "
            f"output, and be called once; {old.name} does not"
        )
    head = from_spec({**old.spec(), "out_features": whole("replace_head", "classes", classes)})
    head.astype(model.dtype)
    return (*model.layers[:place], head, *model.layers[place + 1 :])


def _head(model: Network) -> int:
    """Place of the last layer that has parameters."""
    places = [place for place, layer in enumerate(model.layers) if layer.params]
    if not places:
        raise ValueError("the model has no layer with parameters")
    return places[-1]
