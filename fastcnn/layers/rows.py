"""Rows of convolutions between which BatchNorm and ReLU stand (see `fusion`)."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from .conv import Conv2D
from .convolutions import ConvNorm, Reader, SummedConv
from .groups import Group, Step
from .norm import BatchNorm
from .normalized import NormalizedReLU

Measuring = ConvNorm | NormalizedReLU


class NormedRow(Group):
    """Several steps, each of which reads what BatchNorm and ReLU of the one before it give.

    What lies between them is never written: a convolution normalises the images that it reads, and
    sums up those that it writes. The values are those of the layers, bit for bit, and so are the
    gradients.

    Parameters
    ----------
    first : ConvNorm or NormalizedReLU
        What reads an array.
    readers : list
        The others, which read images that are to be normalised; all but the last one are
        `ConvNorm`.
    """

    def __init__(self, first: Measuring, readers: Sequence[Reader]) -> None:
        self.steps: list[Group] = [first, *readers]
        super().__init__(*(layer for step in self.steps for layer in step.layers))
        self.first, self.readers = first, list(readers)

    @property
    def fuses(self) -> bool:
        are_trained = all(layer.trainable for layer in self.layers if layer.params)
        are_light = all(step.conv.is_light for step in self.readers)  # with so many threads
        return super().fuses and are_trained and are_light

    def one_by_one(self) -> Sequence[Step]:
        return self.steps

    def run(self, x: np.ndarray) -> np.ndarray:
        image = self.first.measure(x)
        for step in self.readers[:-1]:
            assert isinstance(step, ConvNorm)
            image = step.measured(image)
        return self.readers[-1].finish(image)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        sums = None
        for step in reversed(self.readers):
            dy, sums = step.back(dy, sums, True)
        if isinstance(self.first, NormalizedReLU):
            return self.first.back(dy, sums)
        return self.first.back(dy, sums, self.needs_input_gradient)[0]


def normed_rows(steps: Sequence[Step], before_norm: bool) -> list[Step]:
    """The steps, those that can be put together in rows.

    before_norm : whether BatchNorm follows the last one, as a part of another step
    """
    done: list[Step] = []
    first: Measuring | None = None  # of a row that may go on, and the others of it
    readers: list[Reader] = []
    rest = list(steps)
    while rest:
        step = rest.pop(0)
        if type(step) is Conv2D:
            norm = rest[0] if rest else None
            if type(norm) is BatchNorm:
                step = ConvNorm(step, norm, None)
                rest.pop(0)
            elif first is not None or (before_norm and not rest):
                step = SummedConv(step, before_norm and not rest)
        if first is not None and isinstance(step, Reader) and step.conv.is_light:
            readers = [*readers, step]
            done[-1] = NormedRow(first, readers)
            first = first if _measures(step) else None
            continue
        done.append(step)
        first, readers = (step if _measures(step) else None), []
    return done


def _measures(step: Step) -> TypeGuard[Measuring]:
    """Whether it can leave it to others to normalise."""
    if isinstance(step, NormalizedReLU):
        return type(step.norm) is BatchNorm
    return isinstance(step, ConvNorm) and step.relu is not None
