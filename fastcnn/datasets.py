"""Loading MNIST, Fashion-MNIST, CIFAR-10 and the small digits that come with fastcnn.

Example:
    >>> from fastcnn import datasets
    >>> datasets.names()
    ('auto', 'mnist', 'fashion-mnist', 'cifar10', 'digits')
    >>> digits = datasets.load("digits")
    >>> digits.x_train.dtype, digits.y_train.dtype
    (dtype('uint8'), dtype('int64'))
"""

from .data import DataError, Dataset, MissingDataError, load, names

__all__ = ["DataError", "Dataset", "MissingDataError", "load", "names"]
