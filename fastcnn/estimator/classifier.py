"""A network that tells classes apart."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from .. import optim
from ..losses import CLASSIFICATION
from ..losses.asked import described
from ..schedules import Schedule
from .base import Estimator, Network


class CNNClassifier(ClassifierMixin, Estimator):
    """A network that tells classes apart, as a classifier of scikit-learn.

    Parameters
    ----------
    network : str, Sequential, Graph or function, optional
        A name of `models.names()`; a network, a copy of which goes on from the weights that it
        has; or a function of the shape of a sample and the number of classes that builds one, and
        of a ``seed`` if it has such an argument. Default: a dense network with one hidden layer of
        100 units for rows of numbers, "mnist-baseline" for images.
    input_shape : sequence of int, optional
        Shape of a sample as the network takes it, such as (1, 28, 28): rows of X become such
        images. Default: the network's, or that of X.
    loss : str or loss, optional
        One of `fastcnn.losses`, or of your own; default: cross-entropy. With "hinge" there is
        `decision_function`, but no `predict_proba`.
    class_weight : dict or "balanced", optional
        Label -> how much its samples count, 1 for those not named; "balanced": each class as much
        as any other.
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
        Share of the data that is held out to measure each epoch: rows chosen at random, whatever
        their class.
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
    model_ : Sequential or Graph
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

    _task = CLASSIFICATION
    _usual_loss = "cross-entropy"
    _outputs_are = "classes"

    def __init__(
        self,
        network: Network | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        loss: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
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
        super().__init__(
            network, input_shape=input_shape, loss=loss, optimizer=optimizer, lr=lr,
            weight_decay=weight_decay, schedule=schedule, epochs=epochs, batch_size=batch_size,
            validation=validation, patience=patience, options=options, warm_start=warm_start,
            random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from X and its labels y; with ``warm_start`` further than so far.

        Parameters
        ----------
        X : array (n_samples, n_features) or (n_samples, channels, height, width)
            Whole numbers from 0 to 255 are pixels where the network takes images; all else is
            taken as it is.
        y : array (n_samples,)
            Numbers or names of the classes, at least two.
        sample_weight : array (n_samples,), optional
            How much each sample counts, in proportion to the others of this call.

        Raises
        ------
        ValueError, TypeError
            If something does not fit; the sentence says what. The estimator is then what it was.
        """
        is_new = not self._goes_on()
        with self._all_of_one_fit(is_new):
            return self._learn_classes(X, y, None, sample_weight, is_new, is_pass=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from X and y in one pass over them.

        Weights, ``class_weight`` too, count in proportion to the others of this call: where all of
        y is one class, its weight changes nothing. So each call should have samples of all classes.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `fit`.
        classes : array, optional
            All labels that there will be; to be given to the first call, unless `fit` came before.
        """
        is_new = not self.__sklearn_is_fitted__()
        if is_new and classes is None:
            raise ValueError(f"{self._name}: the first call of partial_fit needs classes=")
        if self.class_weight == "balanced":
            raise ValueError(
                f"{self._name}: class_weight='balanced' needs all data at once, which partial_fit "
                f"does not see: give a dict"
            )
        with self._all_of_one_fit(is_new):
            return self._learn_classes(X, y, classes, sample_weight, is_new, is_pass=True)

    def _learn_classes(
        self, X: Any, y: Any, classes: Any, sample_weight: Any, is_new: bool, is_pass: bool
    ) -> Self:
        x, y = self._checked(X, y, reset=is_new)
        check_classification_targets(y)
        known = np.unique(y if classes is None else classes) if is_new else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"{self._name}: the classes are {_list(known)}, not {_list(classes)}")
        strange = np.setdiff1d(y, known)
        if len(strange):
            raise ValueError(f"{self._name}: y has {strange[0]}, the classes are {_list(known)}")
        present, weights = self._present(sample_weight, len(y))
        x, y = x[present], y[present]
        if len(known) < 2 or (not is_pass and (y == y[0]).all()):
            raise ValueError(f"{self._name}: y has one class, {y[0]}, of at least two")
        self._learn(
            x, np.searchsorted(known, y), len(known), is_new, is_pass,
            sample_weight=weights, class_weight=self._class_weight(known),
        )  # fmt: skip
        self.classes_ = known
        self.model_.class_names = tuple(map(str, known))
        return self

    def _class_weight(self, known: np.ndarray) -> Any:
        """``class_weight`` by the number that a class has for the network."""
        if not isinstance(self.class_weight, Mapping):
            return self.class_weight
        numbers = {label: number for number, label in enumerate(known.tolist())}
        for label in self.class_weight:
            if label not in numbers:
                raise ValueError(
                    f"{self._name}: class_weight has {label!r}, the classes are {_list(known)}"
                )
        return {numbers[label]: weight for label, weight in self.class_weight.items()}

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each sample, (n_samples,)."""
        x = self._asked(X)
        return self.classes_[self.model_.predict(x)]

    def decision_function(self, X: Any) -> np.ndarray:
        """What the network gives for each class before a softmax, (n_samples, n_classes).

        Of two classes how much more it gives for the second, (n_samples,).
        """
        x = self._asked(X)
        given = self.model_.predict_logits(x).astype(np.float64)
        return given[:, 1] - given[:, 0] if given.shape[1] == 2 else given

    def _has_probabilities(self) -> bool:
        loss = self.model_.loss if self.__sklearn_is_fitted__() else self._new_loss()
        if getattr(loss, "gives_scores", False):
            raise AttributeError(
                f"{self._name}: {described(loss)} makes scores, which have no probability: use "
                f"decision_function, or CalibratedClassifierCV, or loss='cross-entropy'"
            )
        return True

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of ``classes_``, (n_samples, n_classes).

        With ``loss="hinge"`` there is none, and no such method, as with scikit-learn's LinearSVC.
        """
        return np.exp(self.predict_log_proba(X))

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of each probability, (n_samples, n_classes)."""
        x = self._asked(X)
        return log_softmax(self.model_.predict_logits(x).astype(np.float64), axis=1)


def _list(labels: Any) -> str:
    return ", ".join(map(str, labels))
