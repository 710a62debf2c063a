"""Networks that only answer: what `model.compile_for_inference()` makes of one."""

from .compiled import Compiled

__all__ = ["Compiled"]
