"""`exercise`, speaking Chinese: for the notebooks in Chinese."""

import exercise
from exercise import answer, check, hint, solution

__all__ = ["answer", "check", "hint", "solution"]

exercise.language = "zh"
