"""The whole check: of one layer, or of all in a file."""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from . import source
from .arrays import get, label, put, walk
from .behaviour import behaviour
from .calling import Failure, seeded
from .construct import NOT_SQUARE, Made, Unmade, made
from .examine import Case, Examination, upstream
from .report import Finding, Report
from .student import Student


def gradients(layer: Any, x: Any = None, targets: Any = None, *, reference: Any = None) -> Report:
    """Check a layer or a loss against numerical gradients and against what its kind should give.

    Parameters
    ----------
    layer : object or class
        Anything with a forward and a backward method; of a class, layers are made with small
        settings. It is not changed.
    x : array, optional
        An input, predictions for a loss; without it, inputs that the layer takes are looked for.
    targets : array, optional
        What goes with the predictions, for a loss.
    reference : object or function, optional
        What gives the right y for x: a function, or a layer of fastcnn or anybody, which is given
        the weights of the same names or shapes. Without it the kind is found from the layer's name,
        weights and numbers.

    Returns
    -------
    Report
        True if nothing is wrong; printed, it says what was found.

    Raises
    ------
    ValueError
        If the layer cannot be called, or no layer of a class be made.

    Examples
    --------
    >>> import numpy as np
    >>> class Twice:
    ...     def forward(self, x):
    ...         return 2 * x
    ...     def backward(self, dy):
    ...         return dy
    >>> report = gradients(Twice(), np.ones((2, 3)))
    >>> bool(report), report.findings[0].cause
    (False, 'dy is passed on as it is')
    """
    if x is None:
        result = source.given(layer) if not inspect.isclass(layer) else _made(layer)
    else:
        result = source.given(layer, x, targets)
    if isinstance(result, Unmade):
        raise ValueError(str(result))
    return examined(result, None if reference is None else _reference(reference))


def _made(cls: type) -> list[Made] | Unmade:
    try:
        return made(cls)
    except Unmade as reason:
        return reason


def of(layers: list[Made] | Unmade) -> Report | str:
    """The report on layers of one class, or why there are none."""
    if isinstance(layers, Unmade):
        return str(layers)
    try:
        return examined(layers)
    except ValueError as error:
        return str(error)


def examined(layers: list[Made], reference: Any = None) -> Report:
    """One report on layers of one class, each with its input."""
    report, fails = Report(""), dict[str, bool]()
    for number, each in enumerate(layers):
        student = Student(each.make())
        if not report.name:
            report.name = student.name
        if student.forward_name is None:
            raise ValueError(f"{student.name} has no forward method")
        exam = Examination(student, each.case, report, reference)
        try:
            with seeded(), np.errstate(all="ignore"):
                _discover(student, each)
                exam.run()
        except Failure as failure:
            _refused(report, each, failure, number)
            fails[each.case.words] = True
            continue
        fails[each.case.words] = exam.failed
        if number == 0:
            report.what = _what(exam, each)
        if number == 0 or (exam.reference is not None and "images" in each.case.words):
            behaviour(exam, each.other, each.make)
        report.cases.append(each.case.spoken)
    _blame_setting(report, fails)
    return report


def _blame_setting(report: Report, fails: dict[str, bool]) -> None:
    """Where code fails with one setting only, that is the cause."""
    if fails.get("", True):
        return
    for setting in ("stride", "padding"):
        with_it = [failed for words, failed in fails.items() if setting in words]
        without = [failed for words, failed in fails.items() if setting not in words]
        if with_it and all(with_it) and not any(without):
            for place, finding in enumerate(report.findings):
                if finding.cause is None and " raised " in finding.numbers:
                    cause = f"the {setting} is ignored, or wrong, somewhere in {finding.what}"
                    report.findings[place] = replace(finding, cause=cause)


def _discover(student: Student, each: Made) -> None:
    """Find weights and gradients; a backward that fails is the examination's to report."""
    try:
        student.discover(each.case.x, each.other.x, upstream, each.case.targets)
    except Failure:
        student.forward(student.fresh(), each.case.x.copy(), each.case.targets)


def _refused(report: Report, each: Made, failure: Failure, number: int) -> None:
    """Noted where the layer says so itself; else it is a mistake."""
    if failure.refused and number:
        report.note(f"not checked with {each.case.spoken}: {failure}")
    else:
        square = each.case.words == NOT_SQUARE
        cause = "only square images work: height and width are mixed up" if square else None
        report.add(Finding("forward", each.case.spoken, str(failure), cause))


def _what(exam: Examination, each: Made) -> list[str]:
    """What was recognised, and where weights and gradients were found."""
    student = exam.student
    kind = exam.reference.title if exam.reference else "not a kind that is known: differences only"
    lines = [kind, f"made as {each.words}"]
    for p in student.parameters:
        shape = np.shape(get(student.thing, p.path))
        lines.append(f"{p.label} {shape}, its gradient in {p.describe()}")
    lines.append(f"called by {student.forward_name} and {student.backward_name or 'its result'}")
    for name in student.idle:
        exam.report.add(Finding(
            "forward", each.case.spoken, f"{name} has a gradient, and changes nothing in forward",
            f"{name} is not used in forward" + (": the bias is not added" if name[0] == "b" else "")
        ))  # fmt: skip
    for name in student.lonely:
        exam.report.add(Finding(
            f"the gradient by {name}", each.case.spoken, "expected an array, got nothing",
            f"no gradient of {name} was found: neither an attribute called like d{name}, nor a "
            f"result of backward, nor a step"))  # fmt: skip
    return lines


def _reference(reference: Any) -> Any:
    """A function (layer, case) -> the right y."""

    def right(thing: Any, case: Case) -> np.ndarray:
        if inspect.isfunction(reference) or not hasattr(reference, "forward"):
            given = (case.x,) if case.targets is None else (case.x, case.targets)
            return np.asarray(reference(*given))
        student = Student(reference)
        mine = [(path, array) for path, array in walk(student.thing) if array.ndim]
        theirs = [(path, array) for path, array in walk(thing) if array.ndim]
        for path, array in mine:
            same = [a for p, a in theirs if a.shape == array.shape and label(p) == label(path)]
            fits = [a for _, a in theirs if a.shape == array.shape]
            if same or fits:
                put(student.thing, path, np.array((same or fits)[0], np.float64))
        return student.forward(student.fresh(), case.x.copy(), case.targets)[0]

    return right
