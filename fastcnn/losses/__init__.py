"""What training makes small.

A loss has ``forward(outputs, targets) -> float``, the mean over a batch, and ``backward()``, which
gives its gradient by the outputs. Any object with these two is one (`fastcnn.losses.chosen`).

Examples
--------
>>> import numpy as np
>>> loss = from_name("mse")
>>> loss.forward(np.array([[1.0], [2.0]]), np.array([1.0, 4.0]))
2.0
>>> loss.backward()
array([[ 0.],
       [-2.]])
"""

from ..tasks import CLASSIFICATION, MULTILABEL, REGRESSION, TASKS
from .asked import Losses
from .base import Loss
from .binary import BinaryCrossEntropyLoss
from .chosen import from_name, names
from .cross_entropy import CrossEntropyLoss
from .hinge import HingeLoss
from .regression import HuberLoss, MAELoss, MSELoss

__all__ = [
    "CLASSIFICATION",
    "MULTILABEL",
    "REGRESSION",
    "TASKS",
    "BinaryCrossEntropyLoss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "Loss",
    "Losses",
    "MAELoss",
    "MSELoss",
    "from_name",
    "names",
]
