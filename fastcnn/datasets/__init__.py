"""Datasets: finding, downloading, checking and reading them.

>>> from fastcnn import datasets
>>> datasets.names()
('auto', 'mnist', 'fashion-mnist', 'cifar10', 'digits')
>>> digits = datasets.load("digits")
>>> digits.x_train.dtype, digits.y_train.dtype
(dtype('uint8'), dtype('int64'))

registry.py    load() and names(): which dataset, which folder
idx.py         the IDX file format of MNIST
mnist.py       MNIST and Fashion-MNIST, made of IDX files
cifar.py       CIFAR-10, made of fixed-length records
digits.py      1,797 small digits kept inside the package
own/           a path instead of a name: people's own pictures and arrays
download.py    mirrors, temporary files, readable failures
checksums.py   is this file what it should be?
scaling.py     images in another size, or without colours
dataset.py     the Dataset that all of them return, and the errors
"""

from .dataset import DataError, Dataset, MissingDataError, listing, title
from .registry import about, is_path, load, names

__all__ = [
    "DataError",
    "Dataset",
    "MissingDataError",
    "about",
    "is_path",
    "listing",
    "load",
    "names",
    "title",
]
