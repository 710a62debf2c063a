"""Dropout and Flatten: what they should give for what they gave."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import names
from .base import Gradients, Reference


class Dropout(Reference):
    """One dropout layer: its mask is read off y."""

    title = "dropout"

    def __init__(self, x: np.ndarray, y: np.ndarray, thing: Any, given: dict[str, Any]) -> None:
        self.x, self.y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        self.kept = self.y != 0
        self.ratio = np.divide(self.y, self.x, out=np.zeros_like(self.y), where=self.x != 0)
        on = self.ratio[self.kept]
        self.factor = float(np.median(on)) if on.size else 1.0
        self.rates = {}
        for source in (getattr(thing, "__dict__", {}), given):
            for key, value in source.items():
                if names.role_of(key, ["rate"]) and isinstance(value, float) and 0 < value < 1:
                    self.rates[names.plain(key)] = value
        self.rate = next(iter(self.rates.values()), None)
        self.keeps = any("keep" in key for key in self.rates)

    def _right_factor(self) -> float:
        if self.rate is None or abs(self.factor - 1) < 1e-6:
            return self.factor  # not inverted: evaluation multiplies
        return 1 / self.rate if self.keeps else 1 / (1 - self.rate)

    def forward(self) -> np.ndarray:
        return self.x * self.kept * self._right_factor()

    def gradients(self, dy: np.ndarray) -> Gradients:
        return {"x": dy * self.ratio}

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        on = self.x * self.kept
        if self.rate is not None:
            for words, k in (
                ("it is divided by the rate, not by 1 - rate", 1 / self.rate),
                ("it is multiplied with 1 - rate, not divided by it", 1 - self.rate),
                ("it is multiplied with the rate", self.rate),
                ("it is divided by 1 - keep, not by keep", 1 / (1 - self.rate)),
                ("it is divided by 1 - rate twice", 1 / (1 - self.rate) ** 2),
            ):
                yield words, on * k

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        yield "the factor 1 / (1 - rate) is missing on the way back", {"x": dy * self.kept}
        yield "the mask is not used on the way back", {"x": dy}
        yield "the mask is not used on the way back", {"x": dy * self.factor}
        yield "the mask is turned round on the way back", {"x": dy * ~self.kept}
        yield "the mask is turned round on the way back", {"x": dy * ~self.kept * self.factor}
        yield "the factor 1 / (1 - rate) is used twice", {"x": dy * self.ratio * self.factor}

    def drawn_anew(self, got: np.ndarray, dy: np.ndarray) -> bool:
        """Whether a gradient has a mask of its own."""
        share = np.divide(got, dy, out=np.zeros_like(dy), where=dy != 0)
        on = share[np.abs(share) > 1e-9]
        same = bool(on.size) and np.allclose(on, on.flat[0]) and on.size < share.size
        return same and bool(((share != 0) != self.kept).any())


class Flatten(Reference):
    """One layer that only puts numbers into another shape."""

    title = "flatten"

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.shape = np.asarray(x, np.float64), y.shape

    def forward(self) -> np.ndarray:
        return self.x.reshape(self.shape)

    def gradients(self, dy: np.ndarray) -> Gradients:
        return {"x": dy.reshape(self.x.shape)}

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        yield "the numbers are read in Fortran's order, which mixes the samples", (
            self.x.reshape(self.shape, order="F"))  # fmt: skip
        yield "the axes are reversed first, which mixes the samples", self.x.T.reshape(self.shape)
        if self.x.ndim == 4:
            yield "rows and columns come before the channels", self.x.transpose(
                0, 2, 3, 1).reshape(self.shape)  # fmt: skip

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        yield "the shape of the input is not restored", {"x": dy}
        yield "the numbers are put back in Fortran's order", {
            "x": dy.reshape(self.x.shape, order="F")}  # fmt: skip
        if self.x.ndim == 4:
            n, c, h, w = self.x.shape
            yield "height and width of the input are swapped", {"x": dy.reshape(n, c, w, h)}
            yield "channels stand last in the shape that is restored", {"x": dy.reshape(n, h, w, c)}
