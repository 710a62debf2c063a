"""A network: layers that run as one, and what people ask of them; it knows no training."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels import activation as activation_kernels
from kernels.portion import WHOLE, Portion

from .. import conversion
from ..checks import is_whole, refuse_nan
from ..losses import CLASSIFICATION, MULTILABEL, REGRESSION, Losses, chosen
from ..losses.base import by_place, from_places
from . import intake, measures, weighting
from .core import Core
from .row import Logits

EVALUATED_AT_ONCE = 256
"""Samples in a batch of `Network.evaluate` and its kin, unless told otherwise."""


class Network(Core):
    """Layers one after the other, with what using them needs around them.

    Images are (N, C, H, W), or (N, H, W, C) with data_format="channels_last". Whole numbers from 0
    to 255 are pixels, which become `pixel * scale + offset` by `normalization`; floats are taken
    as they are, rounded to float32 (float64 after `astype`).

    Parameters
    ----------
    layers : Layer
        In the order in which the input runs through them.
    seed : int, optional
        Key of the starting weights and of dropout. Layers whose weights were written, were given a
        seed or belong to another model keep them. None: all layers keep theirs.
    data_format : str
        "channels_first" or "channels_last".
    name : str, optional
        What the model is called, for people.
    input_shape : sequence of int, optional
        Shape of one sample, such as (1, 28, 28), as `data_format` says; if given, the layers are
        checked at once.
    class_names : sequence of str, optional
        What the classes are called, for people.

    Attributes
    ----------
    layers : tuple of Layer
        The layers.
    normalization : pair of arrays
        (scale, offset), float32 arrays of one number per channel or one for all; at first (1/255,
        0), which brings pixels to 0 ... 1.
    learned_from : str, optional
        What it was last trained on, "pixels" or "floats"; None if it was not, or nobody knows.
    task : {"classification", "multilabel", "regression"}
        What it was last trained for; at first classification. Of several outputs a tuple.
    loss : loss or None
        What it was last trained with; at first `CrossEntropyLoss()`. None in a model from a file
        that was trained with a loss of the user's own.
    workspace : Workspace
        Memory for batches and sums.

    Raises
    ------
    ValueError
        If an argument does not fit, or a layer stands in two places.
    TypeError
        If something else than layers is given.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> model = Sequential(Dense(4, 2), class_names=["cat", "dog"])
    >>> isinstance(model, Network), model.predict_proba(np.zeros((3, 4), np.float32)).shape
    (True, (3, 2))
    """

    def outputs(
        self, x: np.ndarray, batch_size: int, logits: Logits, portion: Portion = WHOLE
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """(rows, outputs) of what `intake.samples` gave; overwritten by the next batch."""
        if not is_whole(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number above 0, got {batch_size!r}")
        for start in range(0, len(x), batch_size):
            rows = slice(start, min(start + batch_size, len(x)))
            here = portion.share(rows.stop - rows.start)
            yield rows, whole(portion, self._predict(x[rows][here], logits))

    def measure(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = EVALUATED_AT_ONCE,
        *,
        loss: Any = None,
        sample_weight: np.ndarray | None = None,
        class_weight: weighting.Classes = None,
        metrics: measures.Metrics | None = None,
    ) -> dict[str, float]:
        """Everything that is measured: "loss", and what `network.measures` has for the task.

        Parameters
        ----------
        loss : str or loss, optional
            Default: what the model was trained with, without smoothing.
        sample_weight : (N,), optional
            How much each sample counts, in the loss and in all else but `metrics`.
        class_weight : dict or "balanced", optional
            How much each class counts, in the loss alone.
        metrics : dict, optional
            More to measure: name -> function(targets, outputs), as `Sequential.train` has it.

        Raises
        ------
        ValueError
            If something does not fit; one sentence.
        """
        x, y = intake.pair(self, "evaluate", x, y)
        given = chosen.checked(self.by_output("evaluate: loss", loss)) if loss is not None else None
        loss = self.loss if given is None else Losses.fitting(given, len(self.output_names) or 1)
        if loss is None:
            raise ValueError(
                "evaluate: this model was trained with a loss of somebody's own, which its file "
                "does not hold: give loss=..."
            )
        sample = weighting.of_samples("evaluate", sample_weight, len(x))
        several = bool(self.output_names)
        shape = () if several or class_weight is None else intake.shape_of(self, "evaluate", x)
        every = weighting.together(
            "evaluate", self.task, sample, class_weight, y, shape, self.class_names
        )
        weights = (every, sample)
        return measures.measure(
            self, x, y, loss=loss, batch_size=batch_size, weights=weights, metrics=metrics
        )

    def evaluate(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = EVALUATED_AT_ONCE,
        **options: Any,
    ) -> tuple[float, Any]:
        """(loss, score): of a classifier mean cross-entropy in nats, and accuracy, 0 to 1.

        The loss is what the model was trained with, but without smoothing. The score is the share
        of right classes; of several labels that of samples with all labels right; for numbers R^2.
        Of several outputs the loss is the weighted sum, and the score a tuple.
        ``options`` are those of `measure`, which gives more numbers.

        Raises
        ------
        ValueError
            If there are not as many labels as samples, or none.
        """
        row = self.measure(x, y, batch_size, **options)
        scores = tuple(row[name] for name in measures.scores(self.task, self.output_names))
        return row["loss"], scores if self.output_names else scores[0]

    def predict(self, x: np.ndarray, batch_size: int = EVALUATED_AT_ONCE) -> Any:
        """What the model says of each sample; of several outputs a tuple.

        The most probable class, int64 (N,); of several labels 1 for each of a probability above
        one half, int64 (N, labels); for numbers these, (N, outputs), or (N,) if there is one. Of a
        network that gives numbers for each place of an image (N, H, W), or (N, outputs, H, W).

        Raises
        ------
        ValueError
            If there are no samples, or the network gives NaN where a class or labels are asked for.
        """
        x = intake.samples(self, "predict", x)
        tasks = self.task if isinstance(self.task, tuple) else (self.task,)
        parts: list[list[np.ndarray]] = [[] for _ in tasks]
        logits = tuple(task != REGRESSION for task in tasks)
        for rows, y in self.outputs(x, batch_size, logits if self.output_names else logits[0]):
            for part, task, each in zip(
                parts, tasks, y if self.output_names else (y,), strict=True
            ):
                part.append(self._as_people_lay(_answer(task, each, rows.start)))
        found = tuple(map(np.concatenate, parts))
        return found if self.output_names else found[0]

    def predict_logits(self, x: np.ndarray, batch_size: int = EVALUATED_AT_ONCE) -> np.ndarray:
        """What it gives for each sample before its softmax, (N, classes), or with places behind."""
        self.one_output("predict_logits")
        x = intake.samples(self, "predict_logits", x)
        found = [y.copy() for _, y in self.outputs(x, batch_size, logits=True)]
        return self._as_people_lay(np.concatenate(found))

    def predict_proba(self, x: np.ndarray, batch_size: int = EVALUATED_AT_ONCE) -> np.ndarray:
        """The probability of each class, or of each label, for each sample, as `predict_logits`.

        It is softmax(logits), of labels sigmoid(logits). Of a network that was trained with a hinge
        that is a number which grows with the score, and no probability.

        Raises
        ------
        ValueError
            If the model is for numbers.
        """
        self.one_output("predict_proba")
        if self.task == REGRESSION:
            raise ValueError(
                "predict_proba: this model gives numbers, which have no probability: use predict"
            )
        logits = self._as_layers_see(self.predict_logits(x, batch_size))
        rows = conversion.for_kernels(by_place(logits))
        probabilities = np.empty_like(rows)
        squash = (
            activation_kernels.sigmoid if self.task == MULTILABEL else activation_kernels.softmax
        )
        squash(rows, probabilities)
        return self._as_people_lay(from_places(probabilities, logits.shape))

    def _as_people_lay(self, y: np.ndarray) -> np.ndarray:
        """An array for each sample as the model's `data_format` has images."""
        is_turned = self.data_format == "channels_last" and y.ndim == 4
        return np.ascontiguousarray(y.transpose(0, 2, 3, 1) if is_turned else y)


def _answer(task: str, outputs: np.ndarray, first: int) -> np.ndarray:
    """What a batch of outputs says, a new array; first : which sample its first row is."""
    if outputs.ndim < 2:
        raise ValueError(
            f"predict: the model gives shape {outputs.shape}, no row of numbers for each sample; "
            f"one sample is passed as x[None]"
        )
    if task != REGRESSION:
        refuse_nan("predict", outputs, first)
    if task == CLASSIFICATION:
        return outputs.argmax(axis=1)
    values = outputs if task == REGRESSION else measures.labels_in(outputs)
    values = values.astype(outputs.dtype if task == REGRESSION else np.int64)
    return values[:, 0] if values.shape[1] == 1 else values


def whole(portion: Portion, outputs: Any) -> Any:
    """The outputs of the whole batch, a tuple of several, of those that this process has."""
    several = isinstance(outputs, tuple)
    found = portion.whole(*outputs) if several else portion.whole(outputs)
    return found if several else found[0]
