"""A network that predicts numbers."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from .base import Estimator


class CNNRegressor(RegressorMixin, Estimator):
    """A network that predicts numbers, as a regressor of scikit-learn.

    Targets are learned as they are: far from -1 to 1 they take long, and are better brought there
    by scikit-learn's `TransformedTargetRegressor`.

    Parameters
    ----------
    network : str, Sequential, Graph or function, optional
        A name of `models.names()`; a network, a copy of which goes on from the weights that it
        has; or a function of the shape of a sample and the number of outputs that builds one, and
        of a ``seed`` if it has such an argument. Default: a dense network with one hidden layer of
        100 units for rows of numbers, "mnist-baseline" for images.
    input_shape : sequence of int, optional
        Shape of a sample as the network takes it, such as (1, 28, 28): rows of X become such
        images. Default: the network's, or that of X.
    loss : str or loss, optional
        One of `fastcnn.losses`, or of your own; default: the mean squared error.
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
    model_ : Sequential or Graph
        The network: ``model_.save("model.npz")``.
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
    >>> x = np.linspace(-2, 2, 200)[:, None]
    >>> found = CNNRegressor(epochs=100, lr=0.01, random_state=0).fit(x, np.sin(2 * x[:, 0]))
    >>> bool(abs(found.predict([[0.5]])[0] - np.sin(1)) < 0.1)
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from X and its targets y; with ``warm_start`` further than so far.

        Parameters
        ----------
        X : array (n_samples, n_features) or (n_samples, channels, height, width)
            Whole numbers from 0 to 255 are pixels where the network takes images; all else is
            taken as it is.
        y : array (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array (n_samples,), optional
            How much each sample counts, in proportion to the others of this call.

        Raises
        ------
        ValueError, TypeError
            If something does not fit; the sentence says what. The estimator is then what it was.
        """
        is_new = not self._goes_on()
        with self._all_of_one_fit(is_new):
            return self._learn_numbers(X, y, sample_weight, is_new, is_pass=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from X and y in one pass over them; arguments as for `fit`."""
        is_new = not self.__sklearn_is_fitted__()
        with self._all_of_one_fit(is_new):
            return self._learn_numbers(X, y, sample_weight, is_new, is_pass=True)

    def _learn_numbers(
        self, X: Any, y: Any, sample_weight: Any, is_new: bool, is_pass: bool
    ) -> Self:
        x, y = self._checked(X, y, reset=is_new, multi_output=True, y_numeric=True)
        y = y.astype(np.float64)
        if not is_new and y.shape[1:] != self._targets_shape:
            raise ValueError(
                f"{self._name}: each sample had targets of shape {self._targets_shape} before, got "
                f"{y.shape[1:]}"
            )
        present, weights = self._present(sample_weight, len(y))
        self._learn(
            x[present], y[present].reshape(len(y[present]), -1), y[:1].size, is_new, is_pass,
            sample_weight=weights,
        )  # fmt: skip
        self._targets_shape = y.shape[1:]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each sample, shaped like the targets."""
        x = self._asked(X)
        return self.model_.predict(x).astype(np.float64).reshape(len(x), *self._targets_shape)
