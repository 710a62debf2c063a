"""People's own data: a path instead of a dataset's name.

find.py          what lies at a path, and who reads it
folder.py        pictures in a folder per class
pictures.py      one picture as pixels
cache.py         thousands of pictures, decoded once
table.py         CSV with a column per pixel
arrays.py        .npz
idx_pairs.py     IDX files of any size and name
cifar_python.py  the Python version of CIFAR-10 and CIFAR-100, read without unpickling (pickled.py)
labels.py        labels of any kind as class numbers
targets.py       what else is learned of images: numbers, several labels
parts.py         train, validation and test, split where the data is not
"""

from .find import has_separator, load
from .parts import Reading
from .targets import only_classes

__all__ = ["Reading", "has_separator", "load", "only_classes"]
