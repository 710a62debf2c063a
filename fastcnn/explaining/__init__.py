"""One number of a network explained: what made it, what came back to it, and the code for both.

number.py    the number, its terms and its gradient, taken from the layers themselves
text.py      it as text, in English or Chinese
"""

from .number import Number, Term, at_default, explain, find
from .text import as_text

__all__ = ["Number", "Term", "as_text", "at_default", "explain", "find"]
