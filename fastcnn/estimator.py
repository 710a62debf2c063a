"""Networks as scikit-learn's estimators, for its pipelines, searches and cross-validation.

What they do is done elsewhere: scikit-learn checks what comes in, `models` builds the network, and
`Sequential` learns and predicts. docs/sklearn.md shows how they are used.
"""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from . import models, optim
from .layers import Dense, ReLU
from .losses import CrossEntropyLoss
from .random import key
from .schedules import Schedule
from .sequential import Sequential
from .training.history import History

try:
    from scipy.special import log_softmax
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise ImportError(
        "fastcnn.estimator needs scikit-learn 1.6 or newer: pip install '.[sklearn]' in the folder "
        "of the clone"
    ) from None

__all__ = ["CNNClassifier"]

Shape = tuple[int, ...]

_HIDDEN = 100  # units of the network for tables, as many as scikit-learn's own has
_IMAGES = "mnist-baseline"  # the network for images


class _Estimator(BaseEstimator):
    """From what scikit-learn gives to what `Sequential` takes."""

    _outputs_are = "outputs"

    def __init__(
        self,
        network: str | Sequential | Callable[..., Sequential] | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        loss: CrossEntropyLoss | None = None,
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
        return validate_data(self, X, y, dtype="numeric", allow_nd=True, **how)

    def _shape_for(self, x: np.ndarray) -> Shape:
        """Shape of one sample, for a network that is not there yet."""
        if self.input_shape is not None:
            return tuple(self.input_shape)
        if isinstance(self.network, Sequential) and self.network.input_shape is not None:
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
        return x.astype(np.float32) if len(shape) == 1 and x.dtype.kind in "iub" else x

    def _asked(self, X: Any) -> np.ndarray:
        """Samples to predict for."""
        check_is_fitted(self)
        return self._samples(self._checked(X, reset=False), self.input_shape_)

    # --- what learns ----------------------------------------------------------------------------

    def _new_model(self, shape: Shape, outputs: int, seed: int) -> Sequential:
        """The network that was asked for, which fits the data."""
        model = self._built(shape, outputs, seed)
        given = model.output_shape((1, *shape))
        if given != (1, outputs):
            raise ValueError(
                f"{self._name}: the network gives {given[1:]} for a sample, but there are "
                f"{outputs} {self._outputs_are}: end it with Flatten() and Dense(..., {outputs}), "
                f"or see Sequential.replace_head"
            )
        return model

    def _built(self, shape: Shape, outputs: int, seed: int) -> Sequential:
        network = self.network
        if network is None and len(shape) == 1:
            hidden = Dense(shape[0], _HIDDEN), ReLU()
            return Sequential(*hidden, Dense(_HIDDEN, outputs), seed=seed, input_shape=shape)
        if isinstance(network, Sequential):
            return copy.deepcopy(network)
        if network is None or isinstance(network, str):
            name = models.known(network or _IMAGES)
            if len(shape) != 3:
                raise ValueError(
                    f"{self._name}: {name} takes images, X has rows of {shape[0]} numbers: give "
                    f"input_shape=(channels, height, width), or leave network out"
                )
            return models.build(name, input_shape=shape, classes=outputs, seed=seed)
        if not callable(network):
            raise TypeError(
                f"{self._name}: network must be a name ({', '.join(models.names())}), a Sequential "
                f"or a function that builds one, got {network!r}"
            )
        takes_seed = "seed" in inspect.signature(network).parameters
        model = network(shape, outputs, **({"seed": seed} if takes_seed else {}))
        if not isinstance(model, Sequential):
            raise TypeError(
                f"{self._name}: network must give a Sequential, gave a {type(model).__name__}"
            )
        return model

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

    def _how(self) -> dict[str, Any]:
        """What `fit` tells `Sequential.train`, and a single pass does not."""
        return {
            "epochs": self.epochs,
            "schedule": self.schedule,
            "validation": self.validation,
            "patience": self.patience,
        }

    def _learn(
        self, x: np.ndarray, y: np.ndarray, outputs: int, is_new: bool, is_pass: bool
    ) -> Self:
        """Train a new network or the one that is there, in all epochs or in one pass.

        Every call has random choices of its own: an order of rows does not come again. If training
        a new network fails, the old one stays.
        """
        if is_new:
            shape, curve = self._shape_for(x), []
            seed = self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            model = self._new_model(shape, outputs, seed)
        else:
            shape, curve, model = self.input_shape_, self.loss_curve_, self.model_
            seed = key(self._seed, "fit", len(curve))
        goes_on = is_pass and not is_new
        optimizer = self._optimizer if goes_on else self._new_optimizer()
        how: dict[str, Any] = {"epochs": 1} if is_pass else self._how()
        history = model.train(
            self._samples(x, shape),
            y,
            loss=copy.deepcopy(self.loss),
            optimizer=optimizer,
            batch_size=self.batch_size,
            seed=seed,
            progress=bool(self.verbose),
            **how,
            **(self.options or {}),
        )
        self.model_, self.input_shape_, self._optimizer = model, shape, optimizer
        self.history_: History = history
        self.loss_curve_: list[float] = [*curve, *history["loss"]]
        self.n_iter_ = len(self.loss_curve_)
        return self


class CNNClassifier(ClassifierMixin, _Estimator):
    """A network that tells classes apart, as a classifier of scikit-learn.

    Parameters
    ----------
    network : str, Sequential or function, optional
        A name of `models.names()`; a network, a copy of which goes on from the weights that it
        has; or a function of the shape of a sample and the number of classes that builds one, and
        of a ``seed`` if it has such an argument. Default: a dense network with one hidden layer of
        100 units for rows of numbers, "mnist-baseline" for images.
    input_shape : sequence of int, optional
        Shape of a sample as the network takes it, such as (1, 28, 28): rows of X become such
        images. Default: the network's, or that of X.
    loss : loss of `fastcnn.losses`, optional
        Default: cross-entropy.
    optimizer : str or Optimizer
        A name of `optim.names()`, or one that every fit begins with a copy of.
    lr, weight_decay : float, optional
        Learning rate and L2 penalty of an optimizer by its name; default: the optimizer's.
    schedule : str or Schedule, optional
        How the rate changes over the epochs of `fit`.
    epochs : int
        Passes of `fit` over the data; at most, with ``patience``.
    batch_size : int
        Samples per step; fewer data are one batch.
    validation : float, optional
        Share of the data that is held out to measure each epoch.
    patience : int, optional
        Stop `fit` after so many epochs without a better one on the held-out data, and return to
        the best.
    options : dict, optional
        What else `Sequential.train` takes, such as ``{"augment": Augment(shift=2)}``.
    warm_start : bool
        Whether `fit` goes on with the network of the last one.
    random_state : int, RandomState or None
        What the starting weights, the order of the data and dropout depend on. An int: each fit
        is the same to the last bit, whatever the number of threads.
    verbose : bool
        Whether a row per epoch is printed.

    Attributes
    ----------
    classes_ : array (n_classes,)
        The labels, sorted.
    model_ : Sequential
        The network, which knows the classes' names: ``model_.save("model.npz")``.
    history_ : History
        What the last `fit` or `partial_fit` recorded, an entry for each epoch.
    loss_curve_ : list of float
        The training loss of every epoch since the network was new.
    n_iter_ : int
        How many epochs these are.
    input_shape_ : tuple of int
        Shape of a sample as the network takes it.
    n_features_in_, feature_names_in_
        As scikit-learn has them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images, digits = load_digits(return_X_y=True)  # rows of 64 numbers from 0 to 16
    >>> classifier = CNNClassifier(input_shape=(1, 8, 8), epochs=10, random_state=0)
    >>> classifier.fit(images[:1000] / 16, digits[:1000]).predict(images[1000:1005] / 16)
    array([1, 4, 0, 5, 3])
    """

    _outputs_are = "classes"

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from X and its labels y; with ``warm_start`` further than so far.

        Parameters
        ----------
        X : array (n_samples, n_features) or (n_samples, channels, height, width)
            Whole numbers from 0 to 255 are pixels where the network takes images; all else is
            taken as it is, as float32.
        y : array (n_samples,)
            Numbers or names of the classes, at least two.

        Raises
        ------
        ValueError, TypeError
            If something does not fit; the sentence says what.
        """
        return self._learn_classes(X, y, None, is_new=not self._goes_on(), is_pass=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from X and y in one pass over them; as `fit` has them.

        Parameters
        ----------
        X, y : arrays
            As for `fit`.
        classes : array, optional
            All labels that there will be; to be given to the first call, unless `fit` came before.
        """
        is_new = not self.__sklearn_is_fitted__()
        if is_new and classes is None:
            raise ValueError(f"{self._name}: the first call of partial_fit needs classes=")
        return self._learn_classes(X, y, classes, is_new, is_pass=True)

    def _learn_classes(self, X: Any, y: Any, classes: Any, is_new: bool, is_pass: bool) -> Self:
        x, y = self._checked(X, y, reset=is_new)
        check_classification_targets(y)
        known = np.unique(y if classes is None else classes) if is_new else self.classes_
        if len(known) < 2:
            raise ValueError(f"{self._name}: y has one class, {known[0]}, of at least two")
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"{self._name}: the classes are {_list(known)}, not {_list(classes)}")
        strange = np.setdiff1d(y, known)
        if len(strange):
            raise ValueError(f"{self._name}: y has {strange[0]}, the classes are {_list(known)}")
        self._learn(x, np.searchsorted(known, y), len(known), is_new, is_pass)
        self.classes_ = known
        self.model_.class_names = tuple(map(str, known))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each sample, (n_samples,)."""
        x = self._asked(X)
        return self.classes_[self.model_.predict(x)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of ``classes_``, (n_samples, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of each probability, (n_samples, n_classes)."""
        x = self._asked(X)
        return log_softmax(self.model_.predict_logits(x).astype(np.float64), axis=1)


def _list(labels: Any) -> str:
    return ", ".join(map(str, labels))
