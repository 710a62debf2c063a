"""BatchNorm's statistics for evaluation, measured with the weights as they are.

The running statistics follow those of the last batches, which earlier weights made. Where steps
are long to the end of a run, they lag behind: `cifar-cnn`'s gradients are clipped to a fixed
length, and without this its accuracy swings from epoch to epoch (docs/accuracy.md).
"""

from collections.abc import Iterable
from typing import Any, cast

from numpy.typing import NDArray

from ..layers import BatchNorm
from ..network.network import Network


def measure_statistics(model: Network, batches: Iterable[NDArray[Any]]) -> None:
    """Make the running statistics of every BatchNorm the means over some batches.

    Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (2021), section 3, there called precise
    BatchNorm; what ``torch.optim.swa_utils.update_bn`` does. The weights stay as they are, and so
    do the statistics of frozen layers. Dropout is active, as in training.

    Parameters
    ----------
    model : Network
        A model with or without BatchNorm.
    batches : float (N, ...) arrays
        Training images as the model's layers see them, all batches of one size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential
    >>> model = Sequential(BatchNorm(1), seed=42)
    >>> measure_statistics(model, [np.float32([[1], [3]]), np.float32([[3], [5]])])
    >>> model.layers[0].state["running_mean"], model.layers[0].state["running_var"]
    (array([3.], dtype=float32), array([1.], dtype=float32))
    """
    measured = [
        layer
        for part in model.layers
        for layer in part.family()
        if isinstance(layer, BatchNorm) and layer.trainable
    ]
    if not measured:
        return
    calls = [cast(list[BatchNorm], model.copies(layer)) for layer in measured]
    try:
        for count, batch in enumerate(batches):
            for same in calls:
                for seen, each in enumerate(same, count * len(same)):
                    each.measuring = seen / (seen + 1)
            model.forward_training(batch)
    finally:
        for same in calls:
            for each in same:
                each.measuring = None
