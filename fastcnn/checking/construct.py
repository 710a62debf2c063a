"""A layer from its class: arguments guessed from their names, and inputs that it can take."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import kinds, names
from .calling import Failure, guarded, seeded
from .examine import Case, upstream
from .kinds import loss
from .kinds.base import near
from .plans import Plan, plans
from .student import Student

_MOST_TRIES = 60
NOT_SQUARE = "images that are not square"

_RNG = 7
# Roles that the arguments of a kind may have, the likeliest meaning of a name first.
_ROLES = {
    "conv": ("in_channels", "out_channels", "kernel", "stride", "padding", "input_shape", "weight",
             "bias", "in_features"),
    "pool": ("kernel", "stride", "padding", "input_shape", "in_channels"),
    "dense": ("weight", "bias", "in_features", "out_features", "input_shape"),
    "norm": ("features", "gamma", "beta", "groups", "in_features"),
    "dropout": ("rate",),
}  # fmt: skip
# What required arguments of other names are taken for, in turn.
_IN_ORDER = {
    "conv": ("in_channels", "out_channels", "kernel", "stride", "padding"),
    "pool": ("kernel", "stride", "padding"),
    "dense": ("in_features", "out_features"),
    "norm": ("features",),
    "dropout": ("rate",),
}
_ANY = ("seed", "rng", "dtype", "lr")
_UNKNOWN = (
    "in_channels",
    "out_channels",
    "kernel",
    "in_features",
    "out_features",
    "features",
    "rate",
)


class Unmade(Exception):
    """A class of which no layer could be made, or no input be found; says why."""


@dataclass
class Made:
    """A layer, how it was made, and what to give it.

    Attributes
    ----------
    make : function
        Gives another one.
    words : str
        The call, as Python would write it.
    case : Case
        The input.
    other : Case
        Another of the same shape.
    """

    make: Callable[[], Any]
    words: str
    case: Case
    other: Case


def made(cls: Any) -> list[Made]:
    """Layers of a class with inputs that they take, the plainest first.

    Raises
    ------
    Unmade
        If there is none.
    """
    kind = kinds.kind_of(cls.__name__)
    if kind == "loss" or (kind is None and _takes_targets(cls)):
        return _losses(cls)
    found: list[Made] = []
    reasons: list[str] = []
    for plan in plans(kind, cls.__name__):
        if plan.needs and not _has(cls, kind, plan.needs):
            continue
        try:
            found.append(_best(cls, kind, plan))
        except Unmade as reason:
            square = _square(cls, kind, plan) if not found else None
            if square is not None:
                found += square
                break
            if not found and kind != "norm":
                raise
            reasons.append(str(reason))
            continue
        if kind == "norm" and found[1:] and not _knows_images(cls):
            found.pop()
    if not found:
        raise Unmade(reasons[0])
    return found


def _square(cls: Any, kind: str | None, plan: Plan) -> list[Made] | None:
    """A layer that takes square images only: one of these, and the one that it does not take."""
    if kind not in ("conv", "pool"):
        return None
    shapes = tuple(
        tuple(max(shape) if n > 3 else n for n in shape) for shape in plan.inputs
    )  # fmt: skip
    try:
        made = _best(cls, kind, replace(plan, inputs=shapes, words="square images"))
    except Unmade:
        return None
    n = list(made.case.x.shape)
    sides = [axis for axis, size in enumerate(n) if size == max(n)]
    n[sides[-1]] -= 1
    case = replace(made.case, x=numbers(tuple(n), 2), words=NOT_SQUARE)
    return [made, Made(made.make, made.words, case, case)]


def _knows_images(cls: Any) -> bool:
    """Whether a normalisation that takes vectors says anything of images."""
    if "layer" in names.plain(cls.__name__):
        return False
    try:
        source = getattr(cls, "source", None) or inspect.getsource(cls)
    except (OSError, TypeError):
        return False
    return bool(re.search(r"ndim|len\(.*shape|0, ?2, ?3|0, ?1, ?2|[Hh], ?[Ww]\b", source))


def _takes_targets(cls: Any) -> bool:
    method = next((getattr(cls, n) for n in names.FORWARD if callable(cls.__dict__.get(n))), None)
    if method is None:
        return False
    required = [
        p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty
    ]
    return len(required) == 3 and names.targets_among(required[1:]) is not None


def _parameters(cls: Any) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _role(p: inspect.Parameter, kind: str | None) -> str | None:
    return names.role_of(p.name, (*_ROLES.get(kind or "", _UNKNOWN), *_ANY))


def _has(cls: Any, kind: str | None, needs: tuple[str, ...]) -> bool:
    """Whether the constructor lets all of these be chosen."""
    roles = {_role(p, kind) for p in _parameters(cls)}
    return set(needs) <= roles or (kind == "dense" and "weight" in roles)


def _arguments(cls: Any, kind: str | None, plan: Plan) -> Iterator[dict[str, Any]]:
    """Keyword arguments for the constructor, in turn."""
    options: dict[str, list[Any]] = {}
    parameters = _parameters(cls)
    roles = {p.name: _role(p, kind) for p in parameters}
    unclear = [p.name for p in parameters if p.default is p.empty and roles[p.name] is None]
    free = [role for role in _IN_ORDER.get(kind or "", ()) if role not in roles.values()]
    roles |= zip(unclear, free, strict=False)
    for p in parameters:
        role = roles[p.name]
        required = p.default is p.empty
        if role in plan.settings and (required or role in ("stride", "padding", "kernel", "rate")):
            value = plan.settings[role]
            if isinstance(p.default, str) and not required:
                continue  # padding="valid"
            options[p.name] = _forms(role, value, required, p)
        elif required:
            options[p.name] = _others(p, role, kind, plan)
            if not options[p.name]:
                raise Unmade(
                    f"it is not known what to give for {p.name!r} of {cls.__name__}("
                    f"{', '.join(q.name for q in parameters)})"
                )
    for values in itertools.islice(itertools.product(*options.values()), 12):
        yield dict(zip(options, values, strict=True))


def _forms(role: str, value: Any, required: bool, p: inspect.Parameter) -> list[Any]:
    """A setting as a number, or as a pair where that is asked for."""
    if role not in ("kernel", "stride", "padding"):
        return [value, (value,)] if role == "features" and isinstance(value, int) else [value]
    pair = isinstance(p.default, tuple | list)
    one = names.plain(p.name).endswith(("h", "w", "height", "width")) and len(p.name) < 14
    return [value] if one else [(value, value), value] if pair else [value, (value, value)]


def _others(p: inspect.Parameter, role: str | None, kind: str | None, plan: Plan) -> list[Any]:
    """What else a required argument may be."""
    rng = np.random.default_rng(_RNG)
    s = plan.settings
    if role == "seed":
        return [0]
    if role == "rng":
        return [np.random.default_rng(0)]
    if role == "dtype":
        return [np.float64]
    if role == "lr":
        return [0.1]
    if role == "input_shape":
        shapes = plan.inputs
        tuples = [shape[1:] for shape in shapes if len(shape) in (2, 4)] + [shapes[0]]
        return [*tuples, tuples[0][0]] if kind != "conv" else tuples
    if kind == "conv" and role in ("weight", "bias"):
        o, i, k = s["out_channels"], s["in_channels"], s["kernel"]
        shapes = [(o, i, k, k), (k, k, i, o)] if role == "weight" else [(o,), (o, 1)]
    elif kind == "dense" and role in ("weight", "bias"):
        i, o = s["in_features"], s["out_features"]
        shapes = [(i, o), (o, i)] if role == "weight" else [(o,), (1, o), (o, 1)]
    elif kind == "norm" and role in ("gamma", "beta"):
        n = s["features"] if isinstance(s["features"], tuple) else (s["features"],)
        shapes = [n, (1, *n), (1, n[0], 1, 1)]
    elif "activation" in p.name.lower():
        return [None, "linear", "identity"]
    else:
        return []
    return [rng.normal(size=shape) for shape in shapes]


def numbers(shape: tuple[int, ...], seed: int, shift: float = 0.0) -> np.ndarray:
    """Random numbers, none of them near a kink at 0."""
    x = np.random.default_rng(seed).normal(size=shape)
    return np.sign(x) * (abs(x) + 0.05) + shift


def _best(cls: Any, kind: str | None, plan: Plan) -> Made:
    """The arguments and the layout with which the layer does most of what its kind should."""
    best, reason = (0, None), ""
    tries = itertools.islice(
        itertools.product(_arguments(cls, kind, plan), plan.inputs), _MOST_TRIES
    )
    for arguments, shape in tries:
        if sum(np.prod(a.shape) > 1e6 for a in arguments.values() if isinstance(a, np.ndarray)):
            continue
        x = numbers(shape, 2, plan.shift)
        case = Case(x, None, arguments, plan.words)
        try:
            score = _score(cls, arguments, case)
        except Failure as failure:
            if not reason or failure.refused:
                reason = str(failure)
            continue
        if score > best[0]:
            other = Case(numbers(shape, 3, plan.shift), None, arguments, plan.words)
            best = score, Made(_maker(cls, arguments), _call(cls, arguments), case, other)
        if score >= 2:
            break
    if best[1] is None:
        raise Unmade(reason or f"{cls.__name__} takes none of the inputs that were tried")
    return best[1]


def _score(cls: Any, arguments: dict[str, Any], case: Case) -> int:
    """3: right; 2: forward and backward run and look like the kind; 1: forward runs.

    Raises
    ------
    Failure
        If it cannot be made, or not take x.
    """
    with guarded(f"{cls.__name__}(...)"), seeded():
        student = Student(cls(**arguments))
    if student.forward_name is None:
        raise Failure("looking for a forward method", AttributeError("there is none"))
    with seeded():
        y, _ = student.forward(student.fresh(), case.x.copy(), case.targets)
    if not np.size(y):
        raise Failure("forward", ValueError("it gives an empty array"))
    try:
        with seeded():
            student.discover(case.x, case.x[::-1] * 0.5 + 0.1, upstream, case.targets)
            reference = kinds.recognise(student, student.thing, case.x, y, case.given, case.targets)
    except Failure:
        return 1
    if reference is None:
        return 2 if kinds.kind_of(cls.__name__) is None else 1
    right = reference.forward()
    return 3 if near(right, y, 1e-4) else 2 if right.shape == y.shape else 1


def _maker(cls: Any, arguments: dict[str, Any]) -> Callable[[], Any]:
    def make() -> Any:
        with guarded(f"{cls.__name__}(...)"), seeded():
            return cls(**arguments)

    return make


def _call(cls: Any, arguments: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return f"array of {value.shape}" if isinstance(value, np.ndarray) else repr(value)

    inside = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
    return f"{cls.__name__}({inside})"


def _losses(cls: Any) -> list[Made]:
    """The same for a loss: predictions and targets in the form that it takes."""
    best: tuple[int, dict[str, Any], tuple[str, bool, int]] = (0, {}, ("", False, 2))
    reason = ""
    for arguments in _arguments(cls, None, Plan("", {}, ())):
        for kind, one_hot, rank in itertools.product(
            loss.meant(cls.__name__), (False, True), (2, 1)
        ):
            classes = loss.KINDS[kind].targets == "classes"
            if (classes and rank == 1) or (one_hot and not classes):
                continue
            x, targets = loss.examples(kind, one_hot, 0, 3, rank)
            case = Case(x, targets, arguments)
            try:
                score = _score(cls, arguments, case)
            except Failure as failure:
                reason = reason or str(failure)
                continue
            if score > best[0]:
                best = score, arguments, (kind, one_hot, rank)
            if score == 3:
                break
        if best[0] == 3:
            break
    if not best[0]:
        raise Unmade(reason or f"{cls.__name__} takes none of the predictions that were tried")
    _, arguments, (kind, one_hot, rank) = best
    found = []
    for words, n in (("", 3), ("one sample", 1)):
        first, second = (loss.examples(kind, one_hot, seed, n, rank) for seed in (0, 1))
        found.append(Made(
            _maker(cls, arguments), _call(cls, arguments), Case(*first, arguments, words),
            Case(*second, arguments, words)))  # fmt: skip
    return found
