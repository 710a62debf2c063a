"""One number of a network explained: what made it, what came back to it, and the code for both.

number.py    the number, its terms and its gradient, taken from the layers themselves
"""

from .number import Number, Term, at_default, explain, find

__all__ = ["Number", "Term", "at_default", "explain", "find"]
