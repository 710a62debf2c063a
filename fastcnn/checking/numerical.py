"""Gradients by differences, in float64: (L(p + h) - L(p - h)) / 2h for L = sum(dy * y)."""

import time
from typing import Any

import numpy as np

from .arrays import get, put
from .calling import seeded
from .student import Student

_STEP, _ROUGH_STEP = 1e-6, 1e-2  # the second for a layer that rounds to float32
_BEND = 1e-3  # of the slope: where the two one-sided slopes differ by more, there is a kink


def numerical(
    student: Student,
    label: str,
    x: np.ndarray,
    dy: np.ndarray,
    targets: Any = None,
    rough: bool = False,
    seconds: float = 3.0,
) -> np.ndarray:
    """The gradient by the input ("x") or by a parameter; NaN at kinks and where time ran out.

    Parameters
    ----------
    student : Student
    label : str
        "x", or that of one of its parameters.
    x : np.ndarray
        The input.
    dy : np.ndarray
        dLoss/dy, shaped like y.
    targets : array, optional
        For a loss.
    rough : bool
        Whether the layer rounds to float32: a longer step.
    seconds : float
        About how long this thread may work on it, whatever else the machine does; places are taken
        in random order.
    """
    path = next((p.path for p in student.parameters if p.label == label), None)
    array = np.array(x if path is None else get(student.thing, path), np.float64)
    h = _ROUGH_STEP if rough else _STEP

    def loss(changed: np.ndarray) -> float:
        thing = student.fresh()
        if path is not None:
            put(thing, path, changed)
        with seeded():
            given = changed if path is None else x
            y, _ = student.forward(thing, given.copy(), targets)
        return float((dy * np.asarray(y, np.float64)).sum())

    middle = loss(array)
    gradient = np.full(array.shape, np.nan)
    places = list(np.ndindex(array.shape))
    np.random.default_rng(0).shuffle(places)
    end = time.thread_time() + seconds
    for place in places:
        values = []
        for step in (h, -h):
            changed = array.copy()
            changed[place] += step
            values.append(loss(changed))
        slope = (values[0] - values[1]) / (2 * h)
        bend = (values[0] + values[1] - 2 * middle) / h
        bent = 0.5 * max(0.05, abs(slope)) if rough else _BEND * max(1.0, abs(slope))
        if abs(bend) <= bent:
            gradient[place] = slope
        if time.thread_time() > end:
            break
    return gradient
