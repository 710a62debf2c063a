"""Keras models as ours.

kinds.py      which layers a Keras layer becomes, and where its weights go
described.py  what a model says of itself: its graph, and its names
orders.py     where the numbers of flattened images stand
into.py       a model's layers, called as its graph says
"""

from .into import from_keras

__all__ = ["from_keras"]
