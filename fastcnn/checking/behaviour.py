"""What one pass does not show: a second batch, two layers, ties, large numbers, evaluation."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from . import general
from .arrays import get, put
from .calling import Failure, seeded
from .examine import Case, Examination, upstream
from .kinds.activation import Activation, Softmax
from .kinds.base import near
from .kinds.loss import Loss
from .kinds.norm import Norm, running_names
from .kinds.other import Dropout
from .kinds.pool import Pooling
from .report import Finding, difference
from .student import Pass

_ZERO = ("zero_grad", "zero_gradients", "reset_grad", "reset_grads", "reset_gradients",
         "clear_grad", "clear_grads", "clear_gradients", "zero_grads")  # fmt: skip
_TOLERANCE = 1e-5


def behaviour(exam: Examination, other: Case, make: Callable[[], Any] | None = None) -> None:
    """All that is looked at after a first pass that could be run.

    Parameters
    ----------
    exam : Examination
        Of the first pass; mistakes go to its report.
    other : Case
        Another input of the same shape.
    make : function, optional
        Gives another such layer; without it a copy is taken.
    """
    steps = [_second_batch, _other_size, _ties, _large, _evaluation]
    for step in steps:
        with contextlib.suppress(Failure), np.errstate(all="ignore"):
            step(exam, other)
    with contextlib.suppress(Failure), np.errstate(all="ignore"):
        _two_instances(exam, other, make)


def _stochastic(exam: Examination) -> bool:
    thing, case = exam.student.fresh(), exam.case
    ys = [exam.student.forward(thing, case.x.copy(), case.targets)[0] for _ in range(2)]
    return isinstance(exam.reference, Dropout) or not near(ys[0], ys[1], 1e-9)


def _fresh_like(exam: Examination, thing: Any) -> Any:
    """A layer that has seen nothing, with the weights of this one."""
    new = exam.student.fresh()
    for p in exam.student.parameters:
        put(new, p.path, np.array(get(thing, p.path), np.float64))
    return new


def _run(exam: Examination, thing: Any, case: Case) -> Pass:
    with seeded():
        return exam.student.run(thing, case.x.copy(), upstream, case.targets)


def _second_batch(exam: Examination, other: Case) -> None:
    """Accumulated gradients, stale caches and statistics."""
    if _stochastic(exam):
        return
    used = exam.student.fresh()
    first = _run(exam, used, exam.case)
    for name in _ZERO:  # the layer's own way to begin anew, as in PyTorch
        if callable(getattr(used, name, None)):
            with contextlib.suppress(Exception):
                getattr(used, name)()
    right = _run(exam, _fresh_like(exam, used), other)
    try:
        second = _run(exam, used, other)
    except Failure as failure:
        exam.found(Finding("the second batch", other.spoken, str(failure), None))
        return
    words = f"second batch, {other.spoken}"
    numbers = difference(second.y, right.y, _TOLERANCE)
    if numbers:
        cause = "what forward gives depends on the batch before"
        norm = exam.reference
        if isinstance(norm, Norm) and norm.groups == 1:
            now = Norm(norm.kind, other.x, norm.axes, norm.eps, {})
            now.gamma, now.beta = norm.gamma, norm.beta
            one, two = now._statistics(), norm._statistics()
            mixed = [(two[0], two[1]), (two[0], one[1]), (one[0], two[1])]
            if any(near(second.y, now._shown(now._normalised(*s)), _TOLERANCE) for s in mixed):
                cause = "stale statistics: mean and variance are those of an earlier batch"
        elif near(second.y, first.y, _TOLERANCE):
            cause = "the result of the first batch is given again: it is cached"
        exam.found(Finding("forward", words, numbers, cause))
        return
    for label, expected in right.gradients.items():
        got, before = second.gradients[label], first.gradients[label]
        if got is None or expected is None:
            continue
        numbers = difference(got, expected, _TOLERANCE)
        if numbers is None:
            continue
        cause = _why_second(exam, other, label, got, expected, before)
        known = any(f.what == exam._spoken(label) for f in exam.report.findings)
        if known and "left in" in cause:
            continue
        exam.found(Finding(exam._spoken(label), words, numbers, cause))


def _why_second(
    exam: Examination, other: Case, label: str, got: np.ndarray, expected: np.ndarray,
    before: np.ndarray | None,
) -> str:  # fmt: skip
    if before is not None and before.shape == expected.shape == got.shape:
        if near(got, expected + before, _TOLERANCE):
            return ("the gradient is accumulated instead of set: that of the batch before is "
                    "still in it (+= on the array, which nothing sets back)")  # fmt: skip
        if near(got, before, _TOLERANCE):
            return "the gradient of the batch before is given again: it is cached"
        k = general.factor(got - expected, before, 1e-4)
        if k is not None and abs(k) > 1e-6:
            return f"{k:.4g} times the gradient of the batch before is still in it"
    mixed = _gradient(exam, exam.case, label, other)
    if mixed is not None and near(got, mixed, _TOLERANCE):
        return "the input of an earlier batch is used: the cache is not renewed by every forward"
    norm = exam.reference
    if isinstance(norm, Norm) and norm.groups == 1:
        now = norm.with_input(other.x)
        now.running = [norm._statistics()]
        for words, wrong in now.gradient_mistakes(upstream(other.x)):
            if words.startswith("stale") and label in wrong and near(got, wrong[label], _TOLERANCE):
                return "stale statistics: the way back uses those of an earlier batch"
    return "something of the batch before is left in the layer"


def _gradient(exam: Examination, case: Case, label: str, other: Case) -> np.ndarray | None:
    """The gradient with the input of one case and the dy of another."""
    with contextlib.suppress(Failure):
        thing = exam.student.fresh()
        with seeded():
            y, _ = exam.student.forward(exam.student.fresh(), other.x.copy(), other.targets)
            return exam.student.run(thing, case.x.copy(), upstream(y), case.targets).gradients[
                label
            ]
    return None


def _other_size(exam: Examination, other: Case) -> None:
    """A batch of another size after the first, as the last of an epoch is."""
    x, targets = exam.case.x, exam.case.targets
    if x.ndim < 2 or len(x) < 2 or _stochastic(exam):
        return
    small = Case(x[:-1].copy(), None if targets is None else np.asarray(targets)[:-1])
    right = _run(exam, exam.student.fresh(), small)
    used = exam.student.fresh()
    _run(exam, used, exam.case)
    try:
        second = _run(exam, _carry(exam, used), small)
    except Failure as failure:
        exam.found(
            Finding(
                "a smaller batch after the first",
                small.spoken,
                str(failure),
                "an array of the first batch's size is kept: the last batch of an epoch is smaller",
            )
        )
        return
    numbers = difference(second.y, right.y, _TOLERANCE)
    if numbers and not exam.report.findings:
        exam.found(Finding("forward, a smaller batch after the first", small.spoken, numbers,
                           "something of the batch before is left in the layer"))  # fmt: skip


def _carry(exam: Examination, used: Any) -> Any:
    """The used layer, with the weights it had at first."""
    for p in exam.student.parameters:
        put(used, p.path, np.array(get(exam.student.thing, p.path), np.float64))
    return used


def _two_instances(exam: Examination, other: Case, make: Callable[[], Any] | None) -> None:
    """A second layer of the class between forward and backward."""
    if _stochastic(exam):
        return
    student, case = exam.student, exam.case
    one = student.fresh()
    two = make() if make else student.fresh()
    alone = _run(exam, student.fresh(), case)
    with seeded():
        y, rest = student.forward(one, case.x.copy(), case.targets)
        student.forward(two, other.x.copy(), other.targets)
        result = student.backward(one, upstream(y), case.x, y, rest, case.targets)
    got = student.collect(one, result, case.x, None)
    for label, expected in alone.gradients.items():
        found = got.get(label)
        if found is None or expected is None:
            continue
        numbers = difference(found, expected, _TOLERANCE)
        if numbers:
            exam.found(Finding(
                exam._spoken(label), "two layers of this class in one network", numbers,
                "the cache is shared by all layers of the class: keep it in self, set in forward, "
                "not in the class, a default argument or a global"))  # fmt: skip
            return


# --- kinds --------------------------------------------------------------------------------------


def _ties(exam: Examination, _: Case) -> None:
    """Whole numbers, many of them equal, for a maximum."""
    pool = exam.reference
    if not isinstance(pool, Pooling) or pool.kind != "max" or not exam.forward_right:
        return
    x = np.random.default_rng(5).integers(0, 2, exam.case.x.shape).astype(np.float64)
    case = Case(x, None, exam.case.given, "equal numbers in a window")
    new = Pooling(x, pool.layout, pool.window, "max")
    got = _run(exam, exam.student.fresh(), case)
    dx, dy = got.gradients["x"], upstream(got.y)
    if dx is None:
        return
    expected = new.gradients(dy)["x"]
    if near(dx, expected, _TOLERANCE) or _one_each(new, dx, dy):
        return
    numbers = difference(dx, expected, _TOLERANCE) or ""
    cause = next((words for words, wrong in new.gradient_mistakes(dy)
                  if near(dx, wrong["x"], _TOLERANCE)), None)  # fmt: skip
    if cause is None and exam.report.findings:
        return
    exam.found(Finding("the gradient by x", case.spoken, numbers, cause))


def _one_each(pool: Pooling, dx: np.ndarray, dy: np.ndarray) -> bool:
    """Whether every window has given its gradient to one of its places, be it the last."""
    if pool.window.stride < pool.window.size or pool.window.padding != (0, 0):
        return np.count_nonzero(dx) == np.count_nonzero(pool.gradients(dy)["x"]) and bool(
            np.isclose(dx.sum(), dy.sum()))  # fmt: skip
    d, shown = pool.layout.to_loop(dy), pool.layout.to_loop(dx)
    (kh, kw), (sh, sw) = pool.window[:2]
    for i, j in np.ndindex(*d.shape[1:3]):
        at = (slice(None), slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw))
        part = shown[at]
        if (np.count_nonzero(part, axis=(1, 2)) > 1).any():
            return False
        if not np.allclose(part.sum((1, 2)), d[:, i, j]):
            return False
    return True


def _large(exam: Examination, _: Case) -> None:
    """Numbers whose exponential overflows."""
    reference, case, student = exam.reference, exam.case, exam.student
    softmax = isinstance(reference, Softmax) or (isinstance(reference, Loss) and (
        reference.kind == "softmax"))  # fmt: skip
    if softmax:
        for shift in (1000.0, -1000.0):
            lost = _lost(exam, case.x + shift)
            if lost:
                exam.found(Finding(
                    lost, f"x as before, {shift:+g} everywhere", "expected finite numbers, "
                    "got others", "softmax without its shift: exp overflows for "
                    "large inputs; subtract each row's maximum first"))  # fmt: skip
                return
        rows = np.linspace(-1000, 1000, len(case.x)).reshape(-1, *[1] * (case.x.ndim - 1))
        if len(case.x) > 1 and _lost(exam, case.x + rows):
            exam.found(Finding(
                "forward", "rows around -1000 and 1000", "expected finite numbers, got others",
                "softmax with a shift for the whole batch: each row needs its own "
                "maximum"))  # fmt: skip
        return
    known = isinstance(reference, Activation) and reference.kind in ("sigmoid", "tanh")
    if known or (isinstance(reference, Loss) and reference.kind == "logits"):
        x = np.where(case.x > 0, 1000.0, -1000.0)
        y, _ = student.forward(student.fresh(), x, case.targets)
        if np.isnan(y).any():
            exam.found(Finding(
                "forward", "x of -1000 and 1000", "expected finite numbers, got nan",
                "exp overflows for large inputs: inf / inf"))  # fmt: skip


def _lost(exam: Examination, x: np.ndarray) -> str | None:
    """What is not finite for this input."""
    thing, case = exam.student.fresh(), exam.case
    with seeded():
        y, _ = exam.student.forward(thing, x.copy(), case.targets)
        if not np.isfinite(y).all():
            return "forward"
        got = exam.student.run(exam.student.fresh(), x.copy(), upstream, case.targets)
    dx = got.gradients["x"]
    return "the gradient by x" if dx is not None and not np.isfinite(dx).all() else None


def _evaluation(exam: Examination, other: Case) -> None:
    """What normalisation and dropout do when they are not trained."""
    if isinstance(exam.reference, Norm) and exam.reference.kind == "batch":
        _running(exam, other)
    elif isinstance(exam.reference, Dropout):
        _dropped(exam)


def _running(exam: Examination, other: Case) -> None:
    student, norm = exam.student, exam.reference
    assert isinstance(norm, Norm)
    thing = student.fresh()
    student.forward(thing, exam.case.x.copy())
    paths = running_names(thing)
    if len(paths) != 2:
        return
    before = {kind: np.array(get(thing, path)) for kind, path in paths.items()}
    student.forward(thing, other.x.copy())
    after = {kind: np.array(get(thing, path)) for kind, path in paths.items()}
    if not exam.forward_right:
        return
    if all(near(after[k], before[k], 1e-12) for k in paths):
        exam.found(Finding(
            "the running statistics", exam.case.spoken, "expected another mean after a second "
            "batch, got the same", "the running statistics are never updated"))  # fmt: skip
        return
    over = tuple(a for a in norm.axes)
    batch = {"mean": other.x.mean(over), "variance": other.x.var(over)}
    n = other.x.size // batch["mean"].size
    for kind, now in after.items():
        targets = [batch[kind], batch[kind] * n / max(1, n - 1)]
        if now.size != batch[kind].size or not any(
            _between(before[kind].ravel(), now.ravel(), target.ravel()) for target in targets
        ):
            cause = None
            if near(now.ravel(), batch[kind].ravel(), 1e-6):
                cause = "it is that of the last batch alone, not a running mean"
            exam.found(
                Finding(
                    f"the running {kind}",
                    exam.case.spoken,
                    f"expected a mean of the old one and the batch's, got {now.ravel()[:3]}",
                    cause,
                )
            )
            return
    y_train, _ = student.forward(student.fresh(), exam.case.x.copy())
    y, _ = student.forward(thing, exam.case.x.copy(), training=False)
    if student.switches and not all(near(get(thing, paths[k]), after[k], 1e-12) for k in paths):
        exam.found(Finding(
            "the running statistics", exam.case.spoken, "expected the same after evaluation, got "
            "others", "evaluation changes the running statistics: only training may"))  # fmt: skip
        return
    shape = [1 if a in over else s for a, s in enumerate(exam.case.x.shape)]
    right = norm._shown(
        norm._normalised(after["mean"].reshape(shape), after["variance"].reshape(shape))
    )
    numbers = difference(y, right, 1e-3 if exam.rough else 1e-5)
    if numbers and near(y, y_train, 1e-6) and student.switches:
        exam.found(Finding("forward in evaluation", exam.case.spoken, numbers,
                           "evaluation uses the batch's statistics, not the running "
                           "ones"))  # fmt: skip
    elif numbers and student.switches:
        exam.found(Finding("forward in evaluation", exam.case.spoken, numbers, None,
                           general.pattern(y, right, 1e-5)))  # fmt: skip


def _between(before: np.ndarray, now: np.ndarray, batch: np.ndarray) -> bool:
    """Whether now = m * before + (1 - m) * batch for one m from 0 to 1, both ends left out."""
    gap = batch - before
    size = float((gap * gap).sum())
    m = float((gap * (now - before)).sum()) / size if size else 0.5
    return 0 < m < 1 - 1e-9 and near(now, before + m * gap, 1e-5)


def _dropped(exam: Examination) -> None:
    student, case, drop = exam.student, exam.case, exam.reference
    assert isinstance(drop, Dropout)
    if not student.switches:
        return
    with seeded():
        y, _ = student.forward(student.fresh(), case.x.copy(), training=False)
    inverted = abs(drop.factor - 1) > 1e-6
    keep = drop.rate if drop.keeps else None if drop.rate is None else 1 - drop.rate
    right = case.x if inverted or keep is None else case.x * keep
    numbers = difference(y, right, _TOLERANCE)
    if numbers:
        cause = None
        if (y == 0).any():
            cause = "numbers are dropped in evaluation too"
        elif not inverted and near(y, case.x, _TOLERANCE):
            cause = ("nothing makes up for what is dropped: divide by 1 - rate in training, or "
                     "multiply with it in evaluation")  # fmt: skip
        elif inverted:
            cause = "evaluation is scaled, and training is already divided by 1 - rate"
        exam.found(Finding("forward in evaluation", case.spoken, numbers, cause))
