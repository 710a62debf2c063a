"""`Compiled`: a network that only answers, and does that at once."""

import copy
from typing import Any

import numpy as np

from kernels.workspace import Workspace

from ..layers.memory import Shape
from ..network.network import EVALUATED_AT_ONCE, Network
from ..network.row import Logits
from .operations import apart, operations
from .plan import Plan

_MOST_SHAPES = 8  # of samples, whose plans are kept


class Compiled:
    """A network as it was when it was compiled, for answers only: `model.compile_for_inference()`.

    BatchNorm is folded into the weights before it, what belongs together runs as one step, weights
    are packed once, and one call of a kernel runs all of it. Answers are those of the model within
    1e-5, to the bit where there is no BatchNorm to fold and no convolution with groups or
    dilation, and the same bits for any number of threads and any batch. A layer that the kernel
    does not know (one of your own, say) runs as it always does, between two such calls.

    Weights are copied: training the model afterwards changes nothing here. Any number of threads
    may ask at once. The compiled kernels compute, whatever `fastcnn.set_backend` says.

    Parameters
    ----------
    model : Sequential or Graph
        A float32 model.

    Raises
    ------
    TypeError
        If the model is float64.
    ValueError
        If an input has another shape than the model takes; the sentence says what would work.

    Examples
    --------
    >>> from fastcnn import models
    >>> model = models.build("mnist-baseline")
    >>> quick = model.compile_for_inference()
    >>> image = np.zeros((1, 1, 28, 28), np.uint8)
    >>> bool((quick.predict(image) == model.predict(image)).all())
    True
    """

    def __init__(self, model: Network) -> None:
        if model.dtype != np.float32:
            raise TypeError(
                f"compile_for_inference: the model is {model.dtype}, and what is compiled is "
                f"float32: compile copy.deepcopy(model).astype(np.float32)"
            )
        self._model = copy.deepcopy(model)
        self._network = self._model.connections()
        self._calls, self._outputs, self._count = apart(self._network)
        self._operations = operations(self._calls, self._outputs, self._count)
        self._plans: dict[Shape, Plan] = {}
        self._workspace = Workspace()
        self._model.answerer = self._answer
        sample = self._model.sample_shape
        if sample is not None:
            self._plan(self._model._as_layers_see(np.empty((1, *sample), np.uint8)).shape)

    # --- what it says -----------------------------------------------------------------------------

    def predict(self, x: Any, batch_size: int = EVALUATED_AT_ONCE) -> np.ndarray:
        """What the model says of each sample, as `Network.predict` gives it."""
        return self._model.predict(x, batch_size)

    def predict_proba(self, x: Any, batch_size: int = EVALUATED_AT_ONCE) -> np.ndarray:
        """The probability of each class, or of each label, for each sample, (N, classes)."""
        return self._model.predict_proba(x, batch_size)

    def predict_logits(self, x: Any, batch_size: int = EVALUATED_AT_ONCE) -> np.ndarray:
        """What the network gives for each sample before its softmax, (N, classes)."""
        return self._model.predict_logits(x, batch_size)

    def forward(self, x: Any) -> Any:
        """The output of the last layer, a new array; of several outputs a tuple."""
        return self._model.forward(x)

    def evaluate(
        self, x: Any, y: Any, batch_size: int = EVALUATED_AT_ONCE, **options: Any
    ) -> tuple[float, float]:
        """(loss, score), as `Network.evaluate` gives them."""
        return self._model.evaluate(x, y, batch_size, **options)

    def measure(
        self, x: Any, y: Any, batch_size: int = EVALUATED_AT_ONCE, **options: Any
    ) -> dict[str, float]:
        """Everything that is measured, as `Network.measure` gives it."""
        return self._model.measure(x, y, batch_size, **options)

    @property
    def network(self) -> Network:
        """Itself as a network, whose answers are compiled; it cannot be trained."""
        return self._model

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What the classes are called, for people."""
        return self._model.class_names

    @property
    def task(self) -> Any:
        """What the model was trained for."""
        return self._model.task

    @property
    def input_shape(self) -> Shape | None:
        """Shape of one sample, as people see it, where that is known."""
        return self._model.input_shape

    def __repr__(self) -> str:
        name = f" {self._model.name}" if self._model.name else ""
        return f"<Compiled{name}: {len(self._operations)} steps>"

    def __reduce__(self) -> Any:
        return Compiled, (self._model,)

    # --- how --------------------------------------------------------------------------------------

    def _answer(self, x: np.ndarray, logits: Logits) -> Any:
        plan = self._plans.get(x.shape[1:]) or self._plan(x.shape)
        return plan.run(x, logits, self._workspace)

    def _plan(self, batch: Shape) -> Plan:
        """What is done for samples such as those of a batch, whose shape is as layers see it.

        Raises
        ------
        ValueError
            If they do not fit a layer.
        """
        model, inputs = self._model, self._network.inputs
        model.shapes_out(batch)
        sample = batch[1:]
        shapes: list[Shape] = [sample if shape is None else shape for shape in inputs]
        shapes += [()] * (self._count - len(inputs))
        for layer, given, target in self._calls:
            batches: Any = tuple((1, *shapes[value]) for value in given)
            shapes[target] = layer.output_shape(batches if layer.takes_several else batches[0])[1:]
        channels = sample[0] if len(sample) == 3 else 1
        if len(self._plans) >= _MOST_SHAPES:
            self._plans = {}
        plan = self._plans[sample] = Plan(
            self._operations, self._outputs, shapes, len(inputs),
            model.normalization_of(channels), model.dtype,
        )  # fmt: skip
        return plan
