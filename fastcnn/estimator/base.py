"""What both estimators share: from what scikit-learn gives to what `Sequential` takes."""

import contextlib
import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import models, optim
from ..checks import refuse_masked, sizes
from ..foreign import Answering
from ..layers import Dense, Layer, ReLU
from ..losses import REGRESSION
from ..losses.chosen import checked as checked_loss
from ..random import key
from ..schedules import Schedule
from ..sequential import Sequential
from ..trainable import Trainable
from ..training.history import History

Network = str | Trainable | Callable[..., Trainable]
Shape = tuple[int, ...]

_HIDDEN = 100  # units of the network for tables, as many as scikit-learn's own has
_IMAGES = "mnist-baseline"  # the network for images
_CHANNELS = (1, 3)


class Estimator(Answering, BaseEstimator):
    """A network between scikit-learn and `Sequential`; a class of one's own defines `fit`."""

    _task = REGRESSION
    _usual_loss = "mse"
    _outputs_are = "targets"

    def __init__(
        self,
        network: Network | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        loss: Any = None,
        optimizer: optim.Optimizer | str = "adam",
        lr: float | None = None,
        weight_decay: float | None = None,
        schedule: Schedule | str | None = None,
        epochs: int = 50,
        batch_size: int = 32,
        validation: float | None = None,
        patience: int | None = None,
        options: Mapping[str, Any] | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.input_shape = input_shape
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation = validation
        self.patience = patience
        self.options = options
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what comes in --------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any = "no_validation", **how: Any) -> Any:
        """What scikit-learn makes of X and y; samples of any number of dimensions."""
        refuse_masked(f"{self._name}: X", X)
        refuse_masked(f"{self._name}: y", y)
        return validate_data(self, X, y, dtype="numeric", allow_nd=True, **how)

    def _shape_for(self, x: np.ndarray) -> Shape:
        """Shape of one sample, for a network that is not there yet."""
        if self.input_shape is not None:
            shape = sizes(self._name, "input_shape", self.input_shape)
            if not shape:
                raise ValueError(
                    f"{self._name}: input_shape must be that of one sample, such as (1, 28, 28)"
                )
            return shape
        if isinstance(self.network, Trainable) and self.network.input_shape is not None:
            return self.network.input_shape
        return x.shape[1:] if x.ndim != 3 else (1, *x.shape[1:])  # grey images

    def _samples(self, x: np.ndarray, shape: Shape) -> np.ndarray:
        """x as the network takes it: rows become images, a table's whole numbers floats."""
        sample = x.shape[1:]
        if sample != shape:
            is_flat = len(sample) == 1 and sample[0] == math.prod(shape)
            if not is_flat and shape not in ((1, *sample), (*sample, 1)):
                raise ValueError(
                    f"{self._name}: X has samples of shape {sample}, but the network takes {shape}"
                )
            x = x.reshape(len(x), *shape)
        return x.astype(np.float64) if len(shape) == 1 and x.dtype.kind in "iub" else x

    def _asked(self, X: Any) -> np.ndarray:
        """Samples to predict for."""
        check_is_fitted(self)
        return self._samples(self._checked(X, reset=False), self.input_shape_)

    # --- what learns ----------------------------------------------------------------------------

    def _new_model(self, x: np.ndarray, shape: Shape, outputs: int, seed: int) -> Trainable:
        """The network that was asked for, which fits the data."""
        if self.network is None and len(shape) == 1:
            model = _dense(shape[0], outputs, seed).astype(_precision(x))
        else:
            model = self._built(shape, outputs, seed)
        given = model.output_shape((1, *shape))
        if given != (1, outputs):
            raise ValueError(
                f"{self._name}: the network gives {given[1:]} for a sample, but there are "
                f"{outputs} {self._outputs_are}: end it with Flatten() and Dense(..., {outputs}), "
                f"or see Sequential.replace_head"
            )
        return model

    def _built(self, shape: Shape, outputs: int, seed: int) -> Trainable:
        network = self.network
        if isinstance(network, Trainable):
            return copy.deepcopy(network)
        if network is None or isinstance(network, str):
            name = models.known(network or _IMAGES)
            if len(shape) != 3:
                raise ValueError(
                    f"{self._name}: {name} takes images, X has rows of {shape[0]} numbers: give "
                    f"input_shape=(channels, height, width), or leave network out"
                )
            if shape[0] not in _CHANNELS and shape[2] in _CHANNELS:
                raise ValueError(
                    f"{self._name}: images are (channels, height, width), these are {shape}: give "
                    f"X.transpose(0, 3, 1, 2)"
                )
            return models.build(name, input_shape=shape, classes=outputs, seed=seed)
        if not callable(network) or isinstance(network, Layer):  # which a call puts into a graph
            raise TypeError(
                f"{self._name}: network must be a name ({', '.join(models.names())}), a "
                f"Sequential, a Graph or a function that builds one, got {network!r}"
            )
        takes_seed = "seed" in inspect.signature(network).parameters
        model = network(shape, outputs, **({"seed": seed} if takes_seed else {}))
        if not isinstance(model, Trainable):
            raise TypeError(
                f"{self._name}: network must give a Sequential or a Graph, gave a "
                f"{type(model).__name__}"
            )
        return model

    def _new_loss(self) -> Any:
        loss = checked_loss(self._usual_loss if self.loss is None else copy.deepcopy(self.loss))
        task = getattr(loss, "task", self._task)
        if task != self._task:
            raise ValueError(f"{self._name} needs a loss for {self._task}, {loss!r} is for {task}")
        return loss

    def _new_optimizer(self) -> optim.Optimizer:
        given = {"lr": self.lr, "weight_decay": self.weight_decay}
        given = {name: value for name, value in given.items() if value is not None}
        if isinstance(self.optimizer, str):
            return optim.from_name(self.optimizer, **given)
        if given:
            raise ValueError(
                f"{self._name}: {' and '.join(given)} can be given where the optimizer is a name; "
                f"{self.optimizer!r} has its own"
            )
        return copy.deepcopy(self.optimizer)

    # --- learning -------------------------------------------------------------------------------

    def _goes_on(self) -> bool:
        """Whether `fit` trains the network that is there."""
        return bool(self.warm_start) and self.__sklearn_is_fitted__()

    def _how(self, is_pass: bool, **how: Any) -> dict[str, Any]:
        """What `Sequential.train` is told, for `fit` or for a single pass."""
        how |= {"batch_size": self.batch_size, "progress": bool(self.verbose)}
        how |= {"loss": self._new_loss(), "epochs": 1 if is_pass else self.epochs}
        if not is_pass:
            how |= {name: getattr(self, name) for name in ("schedule", "validation", "patience")}
        options = {} if self.options is None else self.options
        if not isinstance(options, Mapping):
            raise TypeError(
                f"{self._name}: options must be a dict of arguments of Sequential.train, got "
                f"{options!r}"
            )
        for name in (how.keys() | {"x", "y"}) & options.keys():
            raise ValueError(f"{self._name}: {name} does not go into options, it is told already")
        return {**how, **options}

    @contextlib.contextmanager
    def _all_of_one_fit(self, is_new: bool) -> Iterator[None]:
        """A with block to learn in: if that fails, everything is what it was.

        is_new : whether a new network learns, and not the one that is there, in place
        """
        before = dict(vars(self))
        if not is_new:
            arrays, known = self.model_.copy_arrays(), self.model_.known_of_training()
            self._optimizer = copy.deepcopy(self._optimizer)
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            if not is_new:
                self.model_.load_arrays(arrays)
                vars(self.model_).update(known)
            raise

    def _learn(
        self,
        x: np.ndarray,
        y: np.ndarray,
        outputs: int,
        is_new: bool,
        is_pass: bool,
        **weights: Any,
    ) -> Self:
        """Train a new network or the one that is there, in all epochs or in one pass.

        Every call has random choices of its own: an order of rows does not come again.
        """
        if is_new:
            shape, curve = self._shape_for(x), []
            seed = self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            model = self._new_model(x, shape, outputs, seed)
        else:
            shape, curve, model = self.input_shape_, self.loss_curve_, self.model_
            seed = key(self._seed, "fit", len(curve))
        goes_on = is_pass and not is_new
        optimizer = self._optimizer if goes_on else self._new_optimizer()
        how = self._how(is_pass, optimizer=optimizer, seed=seed, **weights)
        history = model.train(self._samples(x, shape), y, **how)
        self.model_, self.input_shape_, self._optimizer = model, shape, optimizer
        self.history_: History = history
        self.loss_curve_: list[float] = [*curve, *history["loss"]]
        self.n_iter_ = len(self.loss_curve_)
        return self

    def _present(self, sample_weight: Any, count: int) -> tuple[Any, Any]:
        """The samples that count at all, and their weights; a weight of 0 is as good as absence."""
        if sample_weight is None:
            return slice(None), None
        refuse_masked(f"{self._name}: sample_weight", sample_weight)
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != (count,):
            raise ValueError(
                f"{self._name}: sample_weight must have shape ({count},), got {weights.shape}"
            )
        present = weights != 0
        if not present.any():
            raise ValueError(f"{self._name}: sample_weight is zero for all samples")
        return present, weights[present]


def _dense(features: int, outputs: int, seed: int) -> Trainable:
    """The network for tables."""
    layers = Dense(features, _HIDDEN), ReLU(), Dense(_HIDDEN, outputs)
    return Sequential(*layers, seed=seed, input_shape=(features,))


def _precision(x: np.ndarray) -> type[np.floating]:
    """What tables are computed in: in their own precision, as scikit-learn does it."""
    return np.float32 if x.dtype in (np.float16, np.float32) else np.float64
