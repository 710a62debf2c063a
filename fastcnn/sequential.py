"""`Sequential`: a row of layers as a network; and what reads any network from its file."""

from pathlib import Path
from typing import Any

from .graph import Graph
from .network import checkpoint
from .trainable import Trainable


class Sequential(Trainable):
    """A row of layers that is trained and used as one.

    What it is made of, and how it is used, says `Network`; this is what people build. Where the
    network has branches, it is a `Graph`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
    >>> model = Sequential(
    ...     Conv2D(1, 8, 3, padding="same"), ReLU(), MaxPool2D(2), Flatten(), Dense(1568, 10)
    ... )
    >>> model.predict(np.zeros((5, 1, 28, 28), np.uint8)).shape
    (5,)
    """


def kind_of(described: dict[str, Any]) -> type[Sequential] | type[Graph]:
    """The kind of network that `checkpoint.describe` spoke of."""
    return Graph if "graph" in described else Sequential


def load_model(path: str | Path) -> Sequential | Graph:
    """The model that `Sequential.save` or `Graph.save` wrote; also the one in a checkpoint.

    Nothing in the file is executed, and no memory is taken for more than the file holds.

    Raises
    ------
    CheckpointError
        A ValueError, if the file is missing, damaged or something else.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> Sequential(Dense(4, 2), name="small").save("small.npz")
    >>> load_model("small.npz").name
    'small'
    """
    header, groups = checkpoint.read(path)
    try:
        described = header["model"]
        return checkpoint.rebuild(described, groups.get("model", {}), kind_of(described))
    except (ValueError, TypeError, LookupError, RecursionError, MemoryError) as error:
        raise checkpoint.CheckpointError(
            f"{path} does not describe a model that this fastcnn can build: {error}"
        ) from None
