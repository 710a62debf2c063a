"""What goes wrong in a layer of any kind, and the pattern of a fault."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .kinds.base import near


def agree(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    """Whether arrays agree wherever the second, by differences, is known."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    known = np.isfinite(other) if other.dtype.kind == "f" else np.ones(other.shape, bool)
    return near(one[known], other[known], tolerance)


def rearranged(expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The right numbers at other places, or summed."""
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1:
            yield f"it is reversed along axis {axis}", np.flip(expected, axis)
    for one in range(expected.ndim):
        for two in range(one + 1, expected.ndim):
            yield f"axes {one} and {two} are swapped: a transpose is missing, or is one too many", (
                expected.swapaxes(one, two))  # fmt: skip
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1:
            total = expected.sum(axis, keepdims=True)
            yield f"it is summed over axis {axis}, which has to stay", np.broadcast_to(
                total, expected.shape)  # fmt: skip
            yield f"it is summed over axis {axis}, which has to stay", total
            yield f"it is summed over axis {axis}, which has to stay", total.squeeze(axis)
            for word, keep in (("first", 0), ("last", -1)):
                one_only = np.zeros_like(expected)
                at = (slice(None),) * axis + (keep,)
                one_only[at] = expected[at]
                yield f"only the {word} of axis {axis} is filled in; the rest is 0", one_only
                rest = expected - one_only
                yield f"the {word} of axis {axis} is left out: it is 0", rest
    yield "it is summed over everything", np.broadcast_to(expected.sum(), expected.shape)


def factor(got: np.ndarray, expected: np.ndarray, tolerance: float) -> float | None:
    """K if got = k * expected all over, and k is not 1."""
    if got.shape != expected.shape:
        return None
    known = np.isfinite(expected) & np.isfinite(got)
    if not known.all() and not np.isfinite(got).all():
        return None
    e, g = expected[known], got[known]
    size = float((e * e).sum())
    if size == 0:
        return None
    k = float((e * g).sum()) / size
    if abs(k - 1) < 10 * tolerance or not agree(got, k * expected, tolerance * max(1.0, abs(k))):
        return None
    return k


def spoken_factor(k: float, scales: dict[str, float]) -> str:
    """What a wrong factor may come from."""
    if abs(k) < 1e-9:
        return "it is 0 everywhere"
    if abs(k + 1) < 1e-3:
        return "the sign is wrong"
    if abs(k - 2) < 1e-3 and 2 not in [v for name, v in scales.items() if "batch" in name]:
        return "it is twice what it should be: added twice, or a factor 2 too many"
    for name, value in scales.items():
        if value > 1 and abs(abs(k) - value) < 1e-3 * value:
            sign = ", and the sign is wrong" if k < 0 else ""
            one = "1/N is missing: " if "batch" in name else ""
            return f"{one}it is too large by the factor {value:g}, {name}{sign}"
        if value > 1 and abs(abs(k) * value - 1) < 1e-3:
            sign = ", and the sign is wrong" if k < 0 else ""
            return f"it is divided by {value:g}, {name}, which belongs into the loss{sign}"
    if abs(k - 2) < 1e-3:
        return "it is twice what it should be: added twice, or a factor 2 too many"
    if abs(k - 0.5) < 1e-3:
        return "it is half of what it should be: a factor 2 is missing"
    return f"it is wrong by the constant factor {k:.4g}"


def _telling(k: float, scales: dict[str, float]) -> bool:
    """Whether a factor between one or two numbers is one that has a reason."""
    known = [2.0, *(value for value in scales.values() if value > 1)]
    return any(abs(abs(k) - v) < 1e-6 * v or abs(abs(k) * v - 1) < 1e-6 for v in (1.0, *known))


def multiples(
    got: np.ndarray, expected: np.ndarray, others: dict[str, np.ndarray], tolerance: float
) -> str | None:
    """Whether got = expected + k * other for one of the other arrays."""
    for words, other in others.items():
        if got.shape != expected.shape or other.shape != expected.shape:
            continue
        rest = got - expected
        known = np.isfinite(rest)
        if known.sum() < 4:
            continue
        size = float((other[known] ** 2).sum())
        if not size:
            continue
        k = float((rest[known] * other[known]).sum()) / size
        if abs(k) > 10 * tolerance and near(rest[known], k * other[known], 100 * tolerance):
            return words.format(k=f"{k:.4g}")
    return None


def diagnose(
    got: np.ndarray,
    expected: np.ndarray,
    mistakes: Callable[[], Iterator[tuple[str, Any]]],
    scales: dict[str, float],
    tolerance: float,
) -> str | None:
    """The words of the first mistake whose numbers are those found; None if none fits."""
    loose = []
    for words, wrong in mistakes():
        wrong = np.asarray(wrong)
        if agree(wrong, expected, tolerance) or (not wrong.size and got.size):
            continue
        if near(got, wrong, tolerance):
            return words
        if len(loose) < 200:
            loose.append((words, wrong))
    k = factor(got, expected, tolerance)
    if k is not None and (got.size > 2 or _telling(k, scales)):
        return spoken_factor(k, scales)
    known = np.where(np.isfinite(expected), expected, got if got.shape == expected.shape else 0)
    for words, wrong in rearranged(known):
        if near(got, wrong, tolerance) and not near(wrong, known, tolerance):
            return words
    for words, wrong in loose:
        if got.size > 3 and np.isfinite(wrong).all() and np.abs(wrong).max(initial=0) > 0:
            k = factor(got, wrong, tolerance)
            if k is not None and abs(k) > 1e-6:
                return f"{words}; besides, {spoken_factor(k, scales)}"
    whole = np.isfinite(expected).all() and got.size == expected.size and got.size > 3
    if whole and near(np.sort(got, None), np.sort(expected, None), tolerance):
        return "the numbers are right, but stand in another order: a reshape or transpose is wrong"
    return None


def pattern(got: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """Where the wrong numbers are, if that says anything."""
    if got.shape != expected.shape:
        return f"its shape is {got.shape}, and {expected.shape} is right"
    if not np.isfinite(got).all():
        count = int((~np.isfinite(got)).sum())
        return f"{count} of {got.size} numbers are not finite"
    scale = max(float(np.nanmax(np.abs(expected), initial=0)), 1e-12)
    wrong = np.abs(got - expected) > tolerance * scale
    if not wrong.any() or wrong.all():
        return "all numbers are wrong" if wrong.all() else ""
    found = []
    if not got[wrong].any():
        found.append("it is 0 wherever it is wrong")
    for axis in range(got.ndim):
        size = got.shape[axis]
        others = tuple(a for a in range(got.ndim) if a != axis)
        hit = np.flatnonzero(wrong.any(others))
        if size < 3 or len(hit) == size:
            continue
        if set(hit) <= {0, size - 1}:
            found.append(f"only at the border of axis {axis}")
        elif len(hit) == 1 or (len(hit) < size and len(hit) <= 3):
            found.append(f"only at {', '.join(map(str, hit))} of axis {axis}")
        elif list(hit) == list(range(hit[0], size)):
            found.append(f"only from {hit[0]} on along axis {axis}")
    if got.ndim >= 2 and not found:
        inner = wrong[..., 1:-1, 1:-1]
        if inner.size and not inner.any():
            found.append("only at the border of the last two axes")
    if np.all(np.sign(got[wrong]) == -np.sign(expected[wrong])):
        found.append("the sign is wrong wherever it is wrong")
    return "; ".join(found)
