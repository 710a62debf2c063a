"""PyTorch's modules: ours as theirs, theirs as ours.

installed.py  PyTorch itself, which only people who have it need
out.py        our layers as modules
into.py       modules as our layers, one after the other
checks.py     what a module may not have beside its layers
traced.py     a module's `forward`, followed by torch.fx, as a graph of our layers
functions.py  what functions and methods are on symbols, places.py those that move numbers
arrays.py     tensors that a module keeps beside its layers
watched.py    what a `forward` may ask and do meanwhile
"""

from .into import from_torch
from .out import to_torch

__all__ = ["from_torch", "to_torch"]
