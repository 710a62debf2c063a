"""`Sequential`: a network that can also be trained, saved, loaded and described."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checks import unknown
from .layers.base import Shape
from .network import checkpoint, transfer
from .network.network import Network
from .training.fit import fit
from .training.history import History


class Sequential(Network):
    """A row of layers that is trained and used as one.

    What it is made of, and how it is used, says `Network`; this is what people build.

    Examples
    --------
    >>> from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
    >>> model = Sequential(
    ...     Conv2D(1, 8, 3, padding="same"), ReLU(), MaxPool2D(2), Flatten(), Dense(1568, 10)
    ... )
    >>> model.predict(np.zeros((5, 1, 28, 28), np.uint8)).shape
    (5,)
    """

    def train(self, x: np.ndarray, y: np.ndarray, **options: Any) -> History:
        """Train in place; all options are those of `fastcnn.training.fit`."""
        known = tuple(inspect.signature(fit).parameters)[3:]
        for option in options:
            if option not in known:
                raise TypeError(unknown("option of train", option, known))
        return fit(self, x, y, **options)

    def save(self, path: str | Path) -> None:
        """Write the model to a file that `load_model` reads; see `fastcnn.network.checkpoint`."""
        checkpoint.save_model(self, path)

    # --- beginning with what another model has learned ------------------------------------------

    def load_fitting(self, path: str | Path) -> transfer.Loaded:
        """Load from a saved model what fits by name and shape; see `fastcnn.network.transfer`."""
        return transfer.load_fitting(self, path)

    def freeze(self, layers: int | str) -> None:
        """Freeze the first so many layers, or "all-but-last"; 0 for none. See `Layer.trainable`.

        Raises
        ------
        ValueError
            If there are not so many layers.
        """
        transfer.freeze(self, layers)

    def replace_head(self, classes: int, class_names: Sequence[str] | None = None) -> None:
        """Put a new last Dense, for so many classes, in the place of the old one.

        All other layers keep their values. An optimizer that has kept the state of the model
        before cannot go on with it: make a new one.

        Raises
        ------
        ValueError
            If the last layer with parameters is no Dense, or classes does not fit.
        """
        self._take(transfer.with_new_head(self, classes), self.seed)
        self.class_names = None if class_names is None else tuple(map(str, class_names))

    def summary(self, input_shape: Sequence[int] | None = None) -> str:
        """A table of layers, their output for one sample (channels first), and their parameters.

        Layers inside a layer stand below it, indented, each with the name that it has there.

        Parameters
        ----------
        input_shape : sequence of int, optional
            Shape of one sample; default: the model's `input_shape`. Without either, outputs are
            left out.
        """
        shape: Shape | None = None
        sample = self.input_shape if input_shape is None else tuple(input_shape)
        if sample is not None:
            if self.data_format == "channels_last" and len(sample) == 3:
                sample = (sample[2], sample[0], sample[1])
            shape = (1, *sample)
        rows = [("layer", "output", "parameters")]
        for layer in self.layers:
            inside = layer.summary_rows(shape)
            shape = inside[0][1]
            for text, output, count in inside:
                size = "" if output is None else " x ".join(map(str, output[1:]))
                rows.append((text, size, f"{count:,}" if count else ""))
        total, trained = self._parameters.count, self._parameters.trained_count
        rows.append(("total", "", f"{total:,}"))
        if trained < total:
            rows.append(("frozen", "", f"{total - trained:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows
        )

    def __reduce__(self) -> Any:
        return checkpoint.rebuild, (checkpoint.describe(self), self.copy_arrays(), type(self))


def load_model(path: str | Path) -> Sequential:
    """The model that `Sequential.save` wrote; also the one inside a training checkpoint.

    Nothing in the file is executed, and no memory is taken for more than the file holds.

    Raises
    ------
    CheckpointError
        A ValueError, if the file is missing, damaged or something else.
    """
    header, groups = checkpoint.read(path)
    try:
        return checkpoint.rebuild(header["model"], groups.get("model", {}), Sequential)
    except (ValueError, TypeError, LookupError, RecursionError, MemoryError) as error:
        raise checkpoint.CheckpointError(
            f"{path} does not describe a model that this fastcnn can build: {error}"
        ) from None
