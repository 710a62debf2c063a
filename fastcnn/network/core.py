"""Layers run as one, forward and backward, with the memory and the clock that this needs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self, overload

import numpy as np

from kernels.images import batch as batch_kernels
from kernels.portion import WHOLE, Portion
from kernels.workspace import Workspace

from .. import checks, conversion
from ..layers import Layer
from ..layers.arrays import float_dtype
from ..layers.memory import Clock, Shape, seen
from ..layers.norm import single_numbers
from ..layers.symbols import FORMATS
from ..losses import CLASSIFICATION, TASKS, CrossEntropyLoss, Losses
from ..losses.asked import Task
from . import advice, intake, pixels, turns
from .layered import Layered
from .parameters import FlatParameters
from .row import Logits

# y, or y before a softmax at the end, for a batch as layers see it, or of pixels.
Answerer = Callable[[np.ndarray, Logits], Any]
_NO_AFFINE = np.empty((0, 6), np.float32)
_OURS = "fastcnn.layers."


class Core(Layered):
    """Layers that run one after the other, forward and backward; `Network` says the rest."""

    def __init__(
        self,
        *layers: Layer,
        seed: int | None = 42,
        data_format: str = "channels_first",
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        kind = type(self).__name__
        if not layers or not all(isinstance(layer, Layer) for layer in layers):
            wrong = next((layer for layer in layers if not isinstance(layer, Layer)), None)
            hint = f"; unpack a list with {kind}(*layers)" if isinstance(wrong, list) else ""
            raise TypeError(
                f"{kind} takes one or more layers, got {type(wrong).__name__}{hint}"
                if layers
                else f"{kind} takes one or more layers, got none"
            )
        if data_format not in FORMATS:
            raise ValueError(
                f"{kind}: data_format must be 'channels_first' or 'channels_last', got "
                f"{data_format!r}"
            )
        self.seed = 0 if seed is None else seed
        self.data_format = data_format
        self.name = name
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.normalization = (1 / 255, 0)
        self.learned_from: str | None = None
        self.told_of_floats = False
        self.answerer: Answerer | None = None  # what predicts instead of the layers
        self.trained_by(CrossEntropyLoss(), CLASSIFICATION)
        self.workspace = Workspace()
        self._clock = Clock(self.seed)
        self._take(layers, seed)
        self.input_shape = None
        if input_shape is not None:
            self.input_shape = checks.sizes(kind, "input_shape", input_shape)
            self.output_shape((1, *self.input_shape))

    def _take(self, layers: tuple[Layer, ...], seed: int | None) -> None:
        """Consist of these layers; with a seed, those whose values nobody chose draw new ones."""
        self._row = self.new_row(layers, seed, self._clock)
        self._parameters = FlatParameters(self._row.named)

    # --- parameters -----------------------------------------------------------------------------

    @property
    def parameters(self) -> FlatParameters:
        """All parameters and gradients as two flat arrays."""
        if not self._parameters.is_bound:
            self._parameters.bind()
        return self._parameters

    @property
    def has_gone_back(self) -> bool:
        """Whether there was a backward pass, which gives the layers their gradients."""
        return self._row.has_gone_back

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self._parameters.dtype

    def astype(self, dtype: Any) -> Self:
        """Turn the whole model into float32 or float64, in place; returns the model.

        Raises
        ------
        ValueError
            For any other dtype.
        """
        dtype = float_dtype(dtype, type(self).__name__)
        for layer in self.layers:
            layer.astype(dtype)
        self._parameters = FlatParameters(self._row.named)
        return self

    def named_arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, array) of all parameters and states: ("0.weight", ...)."""
        for path, layer in self._row.named:
            yield from layer.named_arrays(path)

    def copy_arrays(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and states by name, for `load_arrays`."""
        return {name: array.copy() for name, array in self.named_arrays()}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Write all parameters and states.

        Raises
        ------
        ValueError
            If a name is missing or too much, a shape does not fit, or a number is too large for
            the model's dtype; then nothing is written.
        """
        own = dict(self.named_arrays())
        for name in own.keys() ^ arrays.keys():
            fault = "is missing" if name in own else "belongs to no layer of the model"
            raise ValueError(f"the array {name!r} {fault}")
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise ValueError(
                    f"the array {name!r} must have shape {own[name].shape}, got {array.shape}"
                )
            checks.refuse_too_large(f"the array {name!r}", array, own[name].dtype)
        for name, array in arrays.items():
            own[name][...] = array

    def is_finite(self) -> bool:
        """Whether no parameter and no state is infinite or NaN."""
        return all(np.isfinite(array).all() for _, array in self.named_arrays())

    # --- forward and backward -------------------------------------------------------------------

    def set_clock(self, epoch: int, step: int, seed: int | None = None) -> None:
        """Say where training is, which keys dropout in the next forward pass; seed: the model's.

        Without it, each training pass counts as the next step of epoch 0.
        """
        self._clock.epoch, self._clock.step = epoch, step
        self._clock.seed = self.seed if seed is None else seed

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """The output of the last layer, a new array; x may be overwritten before `backward`.

        Raises
        ------
        ValueError, TypeError
            If x does not fit the model, or in training a BatchNorm gets one number per channel;
            the sentence says why.
        """
        who = type(self).__name__
        x = intake.samples(self, who, x, training)
        if not training:
            return self._given_out(self._predict(x, logits=False))
        with advice.advising(self, x.shape):
            y = self._row.forward(who, self._normalized(x, training), logits=False)
        intake.learn_from(self, x)
        return self._given_out(y)

    def taken(self, who: str, x: Any) -> np.ndarray:
        """What people give as an array, of pixels or of floats."""
        return conversion.samples(who, x, self.dtype)

    def _predict(self, x: np.ndarray, logits: Logits) -> np.ndarray:
        """The output for samples that `intake` has seen; valid until this thread's next pass."""
        with advice.advising(self, x.shape):
            if self.answerer is not None:
                return self.answerer(self._as_layers_see(x), logits)
            return self._row.predict(self._normalized(x), logits)

    @overload
    def backward(self, dlogits: np.ndarray, input_gradient: Literal[True] = True) -> np.ndarray: ...
    @overload
    def backward(self, dlogits: np.ndarray, input_gradient: bool) -> np.ndarray | None: ...
    def backward(self, dlogits: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """dLoss/dx, a new array, from dLoss/dy of the last forward(training=True).

        Fills the layers' `grads`, overwriting what was there. A loop that only trains leaves out
        dLoss/dx, which takes up to a third of the time: without `input_gradient` None is returned.

        Raises
        ------
        RuntimeError
            If there was no forward(training=True), or another thread trains the model.
        """
        dy = self._as_layers_see(dlogits)
        with advice.speaking(self):
            dx = self._row.backward(
                type(self).__name__, dy, logits=False, to_input=bool(input_gradient)
            )
        return self._given_out(dx) if input_gradient else None

    def forward_training(self, x: np.ndarray, logits: Logits = True) -> np.ndarray:
        """Outputs for a batch, for the training loop.

        x is a float array of the model's dtype and data_format, in memory that may be kept and is
        best filled anew for each batch. The outputs are overwritten by the next pass. For
        `logits` a Softmax at the end of the model is left out; of several outputs a tuple may say
        of which.
        """
        allowing = single_numbers() if len(x) == 1 else contextlib.nullcontext()  # it notes that
        with advice.advising(self, x.shape), allowing:
            x = self._as_layers_see(x)
            return self._row.forward(type(self).__name__, x, logits, is_lent=True)

    def backward_training(self, dy: Any, logits: Logits = True) -> None:
        """Fill the layers' gradients after `forward_training`."""
        self._row.backward(type(self).__name__, dy, logits, to_input=False)

    @contextlib.contextmanager
    def computing(self, portion: Portion) -> Iterator[None]:
        """A with block in which training passes get this part of each batch.

        Raises
        ------
        ValueError
            If there are other processes, and a layer is somebody's own.
        """
        own = [layer for layer in self._row.family if not type(layer).__module__.startswith(_OURS)]
        if portion.processes > 1 and own:
            raise ValueError(
                f"{type(own[0]).__name__} is a layer of your own, of which nobody can know what it "
                f"sums over the batch: train in one process"
            )
        if portion.processes > 1 and self._row.is_shared:
            raise ValueError(
                "a layer of this Graph is called twice, whose gradients would be added in another "
                "order than in one process, with other bits: train in one process"
            )
        self._row.portion = portion
        try:
            yield
        finally:
            self._row.portion = WHOLE
            self._row.forget_lists()

    def trained_by(self, loss: Any, task: Any) -> None:
        """Note what the model is trained with, and so what it predicts.

        Raises
        ------
        ValueError
            If there is no such task.
        """
        several = len(self.output_names)
        if several:
            task = (task,) * several if isinstance(task, str) else task
            if not isinstance(task, (tuple, list)) or len(task) != several:
                raise ValueError(f"the model has {several} outputs, not the tasks {task!r}")
            task = tuple(task)
        for each in task if several else (task,):
            if each not in TASKS:
                raise ValueError(f"a model's task is one of {', '.join(TASKS)}, not {each!r}")
        self.loss = Losses.fitting(loss, several or 1)
        self.task: Task = task

    def known_of_training(self) -> dict[str, Any]:
        """What training tells the model beside its arrays; `vars(model).update` takes it back."""
        names = "loss", "task", "learned_from", "class_names", "told_of_floats"
        return {name: getattr(self, name) for name in names}

    def training_turn(self) -> contextlib.AbstractContextManager[None]:
        """A with block in which no other thread may train the model; in all others, none may.

        Raises
        ------
        RuntimeError
            On entering it, if another thread trains the model.
        """
        return turns.Holding(self._row.turn, type(self).__name__, self._row.family)

    def _as_layers_see(self, x: Any) -> Any:
        """An array of images turned; the layers refuse what is no array."""
        is_turned = self.data_format == "channels_last" and isinstance(x, np.ndarray)
        return seen(x) if is_turned else x

    def _as_people_see(self, shape: Shape) -> Shape:
        if self.data_format == "channels_last" and len(shape) == 4:
            return (shape[0], shape[2], shape[3], shape[1])
        return shape

    def _given_out(self, y: np.ndarray) -> np.ndarray:
        """A copy of what a layer returned, for people, channels-last in memory."""
        y = y.transpose(0, 2, 3, 1) if y.ndim == 4 else y
        y = y.copy()
        return y if self.data_format == "channels_last" else seen(y)

    def prepared(self, x: np.ndarray) -> np.ndarray:
        """x as the first layer takes it: (N, C, H, W), normalised if uint8, else as it is."""
        return self._normalized(intake.samples(self, type(self).__name__, x))

    def _normalized(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if x.dtype != np.uint8:
            return self._as_layers_see(x)
        images = conversion.for_kernels(self._as_layers_see(x))
        batch, channels, height, width = images.shape
        scale, offset = self.normalization_of(channels)
        name = "images in training" if training else "images"  # a prediction leaves those alone
        out = self.workspace.array(name, (batch, height, width, channels), np.float32)
        batch_kernels.gather(images, np.arange(batch), scale, offset, _NO_AFFINE, out)
        return seen(out if self.dtype == np.float32 else out.astype(self.dtype))

    @property
    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, offset): a uint8 image enters the first layer as pixel * scale + offset."""
        return self._normalization

    @normalization.setter
    def normalization(self, value: Any) -> None:
        self._normalization = pixels.checked(value)

    @property
    def expects_pixels(self) -> bool:
        """Whether it was trained on pixels, or normalises them in a way that someone chose."""
        if self.learned_from is not None:
            return self.learned_from == "pixels"
        scale, offset = self._normalization
        return bool((scale != np.float32(1 / 255)).any() or offset.any())

    @property
    def image_words(self) -> str:
        """How a batch of images lies, in letters."""
        return "(N, C, H, W)" if self.data_format == "channels_first" else "(N, H, W, C)"

    def normalization_of(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """`normalization` with one number for each of `channels` channels.

        Raises
        ------
        ValueError
            If it was given for another number of channels.
        """
        scale, offset = self._normalization
        if scale.size not in (1, channels):
            raise ValueError(
                f"model.normalization is for {scale.size} channels, the images have {channels}"
            )
        return np.resize(scale, channels), np.resize(offset, channels)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The paths of the frozen layers: ("0", "1", "3.main.0")."""
        return tuple(path for at, layer in self._row.named for path in layer.frozen_leaves(at))

    # --- looking at the model -------------------------------------------------------------------

    def output_shape(self, input_shape: Sequence[int]) -> Shape:
        """Shape of the output for an input of `input_shape` (batch included).

        Raises
        ------
        ValueError
            If the input does not fit a layer; names the layer.
        """
        shape = tuple(input_shape)
        if self.data_format == "channels_last" and len(shape) == 4:
            shape = (shape[0], shape[3], shape[1], shape[2])
        with advice.speaking(self):
            return self._as_people_see(self.shapes_out(shape))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"
