"""One layer, one input: forward against our formulas, backward against differences."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import general, kinds
from .arrays import get
from .calling import Failure, seeded
from .kinds.base import Gradients, Reference, near
from .kinds.dense import Dense
from .kinds.other import Dropout
from .numerical import numerical
from .report import Finding, Report, difference
from .student import Pass, Student

_FINE, _ROUGH = 1e-6, 1e-3  # tolerances, as shares of the largest number
_SPOT_SECONDS = 0.1, 0.02  # for differences where our formulas say the same: first case, others


@dataclass
class Case:
    """An input for a layer.

    Attributes
    ----------
    x : np.ndarray
        The input; predictions, for a loss.
    targets : array, optional
        For a loss.
    given : dict
        Arguments of the layer's constructor.
    words : str
        What is special about it.
    """

    x: np.ndarray
    targets: Any = None
    given: dict[str, Any] = field(default_factory=dict)
    words: str = ""

    @property
    def spoken(self) -> str:
        """As a report says it."""
        shape = f"x of shape {self.x.shape}"
        return f"{self.words}, {shape}" if self.words else shape


def upstream(y: np.ndarray) -> np.ndarray:
    """The gradient from behind: 1 for a loss, else random numbers."""
    return np.ones(()) if y.ndim == 0 else np.random.default_rng(1).normal(size=y.shape)


def _is_narrow(y: np.ndarray) -> bool:
    """Whether all numbers are float32's, and not whole."""
    return bool((y == y.astype(np.float32)).all() and (y != np.round(y)).any())


class Examination:
    """What is known of a layer with one input.

    Attributes
    ----------
    reference : Reference, optional
        What it should compute.
    expected : dict
        The right gradients, by label.
    result : Pass
        What it gave.
    """

    def __init__(self, student: Student, case: Case, report: Report, reference: Any = None) -> None:
        self.student, self.case, self.report = student, case, report
        self.own_reference = reference
        self.reference: Reference | None = None
        self.expected: Gradients = {}
        self.result = Pass(np.empty(0))
        self.forward_right = True
        self.failed = False  # backward raised something

    @property
    def scales(self) -> dict[str, float]:
        """What a gradient may wrongly be multiplied with."""
        found = dict(self.reference.scales) if self.reference else {}
        if found:
            return found
        shape = self.case.x.shape
        found = {"the first axis of x, probably the batch size N": shape[0]}
        if len(shape) == 4:
            found["rows times columns"] = shape[2] * shape[3]
        return found | {f"axis {i} of x": n for i, n in enumerate(shape) if i}

    @functools.cached_property
    def rough(self) -> bool:
        """Whether the layer rounds to float32, which is no mistake."""
        y, case = self.result.y, self.case
        if y.ndim == 0 or not _is_narrow(y):
            return y.dtype == np.float32
        noise = 1 + 1e-9 * np.random.default_rng(6).normal(size=case.x.shape)
        with seeded():
            y, _ = self.student.forward(self.student.fresh(), case.x * noise, case.targets)
        return _is_narrow(y)

    def run(self) -> None:
        """All comparisons; mistakes go to the report.

        Raises
        ------
        Failure
            If the layer cannot take this input at all.
        """
        case, student = self.case, self.student
        thing, x = student.fresh(), case.x.copy()
        with seeded():
            y, _ = student.forward(thing, x, case.targets)
        if not np.array_equal(x, case.x, equal_nan=True):
            self.found(Finding(
                "forward", case.spoken, "", "forward changes its input in place: other layers "
                "still need it; work on a copy"))  # fmt: skip
        dy = upstream(y)
        self.result = Pass(np.array(y))
        self.reference = self._recognised(thing, y)
        self._forward()
        given = dy.copy()
        try:
            with seeded():
                thing = student.fresh()
                self.result = student.run(thing, case.x.copy(), given, case.targets)
        except Failure as failure:
            self.failed = True
            self.found(Finding("backward", case.spoken, str(failure), self._why_it_fails(failure)))
            return
        if not np.array_equal(given, dy):
            self.report.note("backward writes into dy, which is given to it: fine unless another "
                             "layer, such as a shortcut's, needs dy too")  # fmt: skip
        self._gradients(dy)

    def found(self, finding: Finding) -> None:
        """Report a mistake."""
        self.report.add(finding)

    def _recognised(self, thing: Any, y: np.ndarray) -> Reference | None:
        if self.own_reference is not None:
            return None
        with np.errstate(all="ignore"):
            return kinds.recognise(
                self.student, thing, self.case.x, y, self.case.given, self.case.targets
            )

    # --- forward --------------------------------------------------------------------------------

    def _forward(self) -> None:
        y = self.result.y
        right = self._right_forward()
        tolerance = _ROUGH if self.rough else _FINE
        if right is None:
            if not np.isfinite(y).all():
                self.found(
                    Finding(
                        "forward",
                        self.case.spoken,
                        "",
                        None,
                        "it gives numbers that are not finite",
                    )
                )
            return
        numbers = difference(y, right, tolerance)
        if numbers is None:
            return
        self.forward_right = False
        cause = None
        with np.errstate(all="ignore"):
            if self.reference is not None:
                cause = general.diagnose(
                    y, right, self.reference.forward_mistakes, self.scales, tolerance
                )
            else:
                cause = general.diagnose(y, right, lambda: iter(()), self.scales, tolerance)
        self.found(Finding(
            "forward", self.case.spoken, numbers, cause, general.pattern(y, right, tolerance)
        ))  # fmt: skip

    def _right_forward(self) -> np.ndarray | None:
        if self.own_reference is not None:
            return np.asarray(self.own_reference(self.student.thing, self.case))
        return None if self.reference is None else self.reference.forward()

    # --- backward -------------------------------------------------------------------------------

    def _gradients(self, dy: np.ndarray) -> None:
        for label, got in self.result.gradients.items():
            if not self.forward_right and (self._fits_the_right_forward(label, got, dy)):
                continue
            if not self.forward_right and self.case.words:
                continue  # what is wrong with the first input is told already
            expected = self.truth(label, dy)
            self.expected[label] = expected
            self._compare(label, got, expected, dy)

    def truth(self, label: str, dy: np.ndarray, seconds: float = 3.0) -> np.ndarray:
        """The right gradient: by differences, and by our formulas where forward is theirs."""
        formula = None
        if self.reference is not None and self.forward_right:
            with np.errstate(all="ignore"):
                formula = self.reference.gradients(dy).get(label)
        seconds = seconds if formula is None else _SPOT_SECONDS[bool(self.case.words)]
        case = self.case
        spot = numerical(self.student, label, case.x, dy, case.targets, self.rough, seconds)
        if formula is not None and general.agree(formula, spot, 5e-2 if self.rough else 1e-4):
            return formula
        return spot

    def _tolerance(self, got: np.ndarray) -> float:
        whole = got.size and (got == np.round(got)).all()
        narrow = not whole and bool((got == got.astype(np.float32)).all())
        return _ROUGH if self.rough or narrow else 2 * _FINE

    def _compare(
        self, label: str, got: np.ndarray | None, expected: np.ndarray, dy: np.ndarray
    ) -> None:
        what = self._spoken(label)
        if got is None and label == "x" and self.student.parameters:
            self.report.note("backward gives no gradient by x: fine for the first layer only")
            return
        if got is None:
            self.found(Finding(what, self.case.spoken, "expected an array, got nothing",
                               "backward gives no gradient: it returns None or never "
                               "sets it"))  # fmt: skip
            return
        tolerance = self._tolerance(got)
        if self.rough and self.reference is None:
            tolerance = 2e-2
        if got.shape != expected.shape and self._same_numbers(got, expected, tolerance):
            self.report.note(f"{what} has shape {got.shape}, not {expected.shape}")
            return
        numbers = difference(got, expected, tolerance)
        if numbers is None:
            return
        with np.errstate(all="ignore"):
            mistakes = lambda: self._mistakes(label, got, dy)  # noqa: E731
            cause = general.diagnose(got, expected, mistakes, self.scales, tolerance)
            cause = cause or general.multiples(got, expected, self._others(label, dy), tolerance)
            words = general.pattern(got, expected, tolerance)
        if cause is None and not self.forward_right:
            self.report.note(f"{what} does not fit forward either: mend that first")
            return
        self.found(Finding(what, self.case.spoken, numbers, cause, words))

    def _same_numbers(self, got: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
        """Whether only axes of length 1 differ, as in a bias of shape (1, n)."""
        flat = [n for n in got.shape if n != 1] == [n for n in expected.shape if n != 1]
        return flat and general.agree(got.reshape(expected.shape), expected, tolerance)

    def _fits_the_right_forward(self, label: str, got: np.ndarray | None, dy: np.ndarray) -> bool:
        """Whether forward is wrong, and the gradient that of the right one: that is one mistake."""
        if got is None or self.reference is None:
            return False
        if self.reference.forward().shape != self.result.y.shape:
            return False
        with np.errstate(all="ignore"):
            right = self.reference.gradients(dy).get(label)
            if right is None or not near(got, right, self._tolerance(got)):
                return False
        self.report.note(f"{self._spoken(label)} is that of the right forward")
        return True

    def _mistakes(self, label: str, got: np.ndarray, dy: np.ndarray) -> Iterator[tuple[str, Any]]:
        if self.reference is not None and self.reference.forward().shape == self.result.y.shape:
            for words, wrong in self.reference.gradient_mistakes(dy):
                if label in wrong:
                    yield words, wrong[label]
            if isinstance(self.reference, Dropout) and self.reference.drawn_anew(got, dy):
                yield "a new mask is drawn on the way back, not the one of forward", got
        yield from self._mistakes_of_any(label, dy)

    def _mistakes_of_any(self, label: str, dy: np.ndarray) -> Iterator[tuple[str, Any]]:
        """What a gradient is if something usual is left out, by differences."""
        if label == "x" and dy.shape == self.case.x.shape:
            yield "dy is passed on as it is", dy
            yield "this is the gradient of y, not that by x: dy times y", dy * self.result.y
        if dy.ndim == 0:
            return
        if not self.reference:
            yield "dy is not used", self._by_differences(label, np.ones_like(dy))
        if label != "x" and len(self.case.x) > 1 and dy.ndim > 1:
            for word, n in (("first", 0), ("last", -1)):
                one = np.zeros_like(dy)
                one[n] = dy[n]
                yield (f"only the {word} sample of the batch counts: it overwrites the others, "
                       "instead of being added", self._by_differences(label, one))  # fmt: skip
        steps = [p for p in self.student.parameters if p.source[0] == "step"]
        if label == "x" and steps:
            yield ("the weights are changed before the gradient by x is computed: it needs the old "
                   "ones", self._after_the_step(dy))  # fmt: skip

    def _by_differences(self, label: str, dy: np.ndarray) -> np.ndarray:
        case = self.case
        return numerical(self.student, label, case.x, dy, case.targets, self.rough, 1.0)

    def _after_the_step(self, dy: np.ndarray) -> np.ndarray:
        thing = self.student.fresh()
        with seeded():
            self.student.run(thing, self.case.x.copy(), dy, self.case.targets)
        before, self.student.thing = self.student.thing, thing
        try:
            return self._by_differences("x", dy)
        finally:
            self.student.thing = before

    def _others(self, label: str, dy: np.ndarray) -> dict[str, np.ndarray]:
        """What may have been added to a gradient."""
        found = {}
        for p in self.student.parameters:
            if p.label == label:
                found[f"{{k}} times {p.label} itself is added: weight decay belongs into the "
                      "optimizer"] = np.array(get(self.student.thing, p.path))  # fmt: skip
        if dy.ndim and label == "x":
            found["{k} times dy is added"] = dy
            found["{k} times x is added"] = self.case.x
        return found

    def _spoken(self, label: str) -> str:
        """What a gradient is called in the student's code."""
        if label == "x":
            return "the gradient by x"
        parameter = next(p for p in self.student.parameters if p.label == label)
        return f"{parameter.describe()}, the gradient by {label}"

    def _why_it_fails(self, failure: Failure) -> str | None:
        words = str(failure.error)
        if self._runs_on_squares():
            return "only square images work: height and width are mixed up"
        product = "matmul" in words or "not aligned" in words
        if product and isinstance(self.reference, Dense):
            return "a transpose is missing in a product, or its factors are swapped"
        return None

    def _runs_on_squares(self) -> bool:
        """Whether the layer, which fails here, takes images whose sides are equal."""
        x = self.case.x
        if x.ndim != 4 or len(set(x.shape[1:])) == 1:
            return False
        axes = (2, 3) if x.shape[1] <= min(x.shape[2:]) else (1, 2)
        side = max(x.shape[a] for a in axes)
        shape = tuple(side if a in axes else n for a, n in enumerate(x.shape))
        try:
            with seeded():
                self.student.run(self.student.fresh(), np.resize(x, shape), upstream)
        except Failure:
            return False
        return x.shape[axes[0]] != x.shape[axes[1]]
