"""A layer or loss by anybody, called in one way: forward, backward, weights and gradients."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import names
from .arrays import Path, duplicate, get, in_float64, label, put, walk
from .calling import (
    Failure,
    call,
    equal,
    guarded,
    input_gradient,
    kept,
    method_of,
    others,
    returned_key,
    seeded,
    set_mode,
    takes_of,
)

_RATE = 0.5  # learning rate for a `backward` that takes a step by itself
CACHES = {"cache", "caches", "cached", "memory", "saved", "ctx"}


@dataclass
class Pass:
    """What one forward and one backward pass gave.

    Attributes
    ----------
    y : np.ndarray
        A loss is an array without axes.
    gradients : dict
        By label of the parameter, "x" for the input; None where there is none.
    """

    y: np.ndarray
    gradients: dict[str, np.ndarray | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameter:
    """A trained array, and where its gradient is found."""

    label: str
    path: Path
    source: tuple[str, Any]  # ("path", Path), ("returned", index or key), ("step", rate)

    def describe(self) -> str:
        """Where the gradient is, in words."""
        kind, where = self.source
        if kind == "path":
            return label(where)
        return f"what backward returns [{where}]" if kind == "returned" else "the step it takes"


class Student:
    """How to call somebody's layer.

    Attributes
    ----------
    thing : object
        The layer in float64, as it was before any pass; never changed after `discover`.
    parameters : list of Parameter
    lonely : list of str
        Arrays that decide the output and look trained, without a gradient.
    idle : list of str
        Arrays that have a gradient, and decide nothing.
    """

    def __init__(self, thing: Any) -> None:
        self.thing = in_float64(thing)
        self.name = type(thing).__name__
        self.forward_name = method_of(thing, names.FORWARD)
        self.backward_name = method_of(thing, names.BACKWARD)
        self.parameters: list[Parameter] = []
        self.lonely: list[str] = []
        self.idle: list[str] = []

    @property
    def gives_derivative(self) -> bool:
        """Whether the backward method takes x and gives f'(x)."""
        if self.backward_name is None:
            return False
        if names.plain(self.backward_name) in names.DERIVATIVE:
            return True
        takes = [p.name for p in takes_of(getattr(self.thing, self.backward_name))]
        vague = names.plain(self.backward_name) in ("gradient", "grad", "gradients")
        return vague and len(takes) == 1 and not names.is_upstream(takes[0])

    # --- one pass -------------------------------------------------------------------------------

    def forward(
        self, thing: Any, x: np.ndarray, targets: Any = None, training: bool = True
    ) -> tuple[np.ndarray, Any]:
        """(y, what else was returned)"""
        method = getattr(thing, self.forward_name or "")
        set_mode(thing, training)
        takes = takes_of(method)
        words: dict[str, Any] = {}
        if targets is not None and len(takes) > 1:
            place = names.targets_among([p.name for p in takes[:3]])
            place = 1 if place is None else place
            first = 0 if place else 1
            words = {takes[place].name: targets, takes[first].name: x}
        elif takes:
            words = {takes[0].name: x}
        for parameter in takes:
            if parameter.name not in words and names.role_of(parameter.name, ["training"]):
                text = isinstance(parameter.default, str)
                words[parameter.name] = ("train" if training else "test") if text else training
        with guarded(self.forward_name or "forward"):
            result = call(method, takes, words)
            rest = None
            if isinstance(result, tuple) and result:
                result, rest = result[0], result[1:]
            if result is None:
                result = kept(thing, names.OUTPUTS)
            if result is None:
                raise TypeError("it returns nothing, and keeps nothing called output")
            y = np.array(result, dtype=np.result_type(np.asarray(result), np.float32))
        if targets is not None and y.ndim == 1:
            y = y.mean()  # one number for each sample
        return np.sum(y) if targets is not None else y, rest

    def backward(
        self, thing: Any, dy: Any, x: np.ndarray, y: np.ndarray, rest: Any, targets: Any
    ) -> Any:
        """What the method gives, whatever it takes."""
        if self.backward_name is None:  # a loss whose forward gives (loss, gradient)
            return rest[0]
        method = getattr(thing, self.backward_name)
        takes = takes_of(method)
        cache = rest[0] if rest and len(rest) == 1 else rest
        words: dict[str, Any] = {}
        free: list[str] = []
        required = [p for p in takes if p.default is p.empty and names.plain(p.name) not in CACHES]
        for p in takes:
            bare = names.plain(p.name)
            if names.role_of(p.name, ["lr"]):
                words[p.name] = _RATE
            elif bare in CACHES:
                words[p.name] = cache
            elif p.default is not p.empty:
                continue
            elif targets is not None and len(required) > 1:
                free.append(p.name)  # of a loss: predictions and targets, whatever they are called
            elif names.is_upstream(p.name) and not self.gives_derivative:
                words[p.name] = dy if targets is None else np.float64(1.0)
            else:
                free.append(p.name)
        if targets is not None:
            place = names.targets_among(free)
            if place is None and len(free) > 1:
                place = 1
            words |= {name: targets if i == place else x for i, name in enumerate(free)}
        else:
            upstream = any(names.is_upstream(name) and name in words for name in words)
            for i, name in enumerate(free):
                bare = names.plain(name)
                if self.gives_derivative or upstream or i:
                    words[name] = y if bare in ("y", "out", "output", "outputs") else x
                else:
                    words[name] = dy
        with guarded(self.backward_name):
            result = call(method, takes, words)
            if self.gives_derivative and targets is None:
                result = np.asarray(result) * dy
        return result

    def run(self, thing: Any, x: np.ndarray, dy: Any, targets: Any = None) -> Pass:
        """Forward and backward on `thing`, which remembers what a layer remembers."""
        y, rest = self.forward(thing, x, targets)
        before = {p.label: np.array(get(thing, p.path)) for p in self.parameters}
        upstream = dy(y) if callable(dy) else dy
        result = self.backward(thing, upstream, x, y, rest, targets)
        return Pass(np.array(y), self.collect(thing, result, x, before))

    def collect(
        self, thing: Any, result: Any, x: np.ndarray, before: dict[str, np.ndarray] | None
    ) -> dict[str, np.ndarray | None]:
        """The gradients that a pass has left behind; `before` are the weights before a step."""
        found: dict[str, np.ndarray | None] = {"x": input_gradient(result, x, thing)}
        for p in self.parameters:
            kind, where = p.source
            if kind == "path":
                value = get(thing, where)
            elif kind == "returned":
                value = result[where]
            elif before is None:
                continue
            else:
                value = (before[p.label] - np.array(get(thing, p.path))) / where
            found[p.label] = None if value is None else np.array(value, dtype=np.float64)
        return found

    @property
    def switches(self) -> bool:
        """Whether the layer is told if it is trained."""
        method = getattr(self.thing, self.forward_name or "")
        if any(names.role_of(p.name, ["training"]) for p in takes_of(method)):
            return True
        known = ("training", "train", "is_training", "is_train", "train_flg", "mode")
        return any(isinstance(getattr(self.thing, name, None), bool | str) for name in known) or (
            callable(getattr(self.thing, "eval", None)))  # fmt: skip

    def fresh(self) -> Any:
        """A copy of the layer as it was at first."""
        return duplicate(self.thing)

    # --- weights and gradients ------------------------------------------------------------------

    def discover(self, x: np.ndarray, other: np.ndarray, dy: Any, targets: Any = None) -> None:
        """Find the trained arrays, from what changes the output, and their gradients."""
        thing = self.fresh()
        with seeded():
            self.forward(thing, x.copy(), targets)
        lazily = {p for p, a in walk(thing) if a.ndim} - {p for p, a in walk(self.thing)}
        first = {path: np.array(array) for path, array in walk(thing)}
        again = duplicate(thing)
        with seeded():
            self.forward(again, other.copy(), targets)
        steady = {
            path: array for path, array in walk(again)
            if path in first and equal(array, first[path])
            and not names.looks_like_gradient(path)
        }  # fmt: skip
        if any(path in lazily and names.is_parameter(path[-1]) for path in steady):
            self.thing = thing  # weights that the first forward makes
        candidates: dict[int, list[Path]] = {}
        for path, array in walk(self.thing):
            if path in steady and array.size:
                same = id(array) if array.ndim else id(path)
                candidates.setdefault(same, []).append(path)
        deciding = [paths for paths in candidates.values() if self._decides(paths[0], x, targets)]
        self.parameters = []
        thing = self.fresh()
        before = {paths[0]: np.array(get(thing, paths[0])) for paths in deciding}
        with seeded():
            y, rest = self.forward(thing, x.copy(), targets)
            kept = {path: array.copy() for path, array in walk(thing)}
            result = self.backward(
                thing, dy(y) if callable(dy) else dy, x.copy(), y, rest, targets
            )  # fmt: skip
        made = {p: a for p, a in walk(thing) if p not in kept or not equal(a, kept[p])}
        self._match(thing, (result, made), deciding, before, x)
        after = dict(walk(thing))
        self.idle = [
            label(paths[0]) for paths in candidates.values()
            if paths not in deciding and np.ndim(get(self.thing, paths[0]))
            and names.is_parameter(paths[0][-1])
            and any(names.is_gradient_of(g, p) > 1 for g in after for p in paths if g not in paths)
        ]  # fmt: skip
        self._shake()

    def _shake(self) -> None:
        """Biases of 0 and scales of 1 would hide mistakes: give them other numbers."""
        rng = np.random.default_rng(4)
        for p in self.parameters:
            value = np.array(get(self.thing, p.path), np.float64)
            if value.size and np.ptp(value) == 0 and value.flat[0] in (0, 1):
                put(self.thing, p.path, value + rng.uniform(0.2, 0.8, value.shape))

    def _match(
        self,
        thing: Any,
        outcome: tuple[Any, dict[Path, np.ndarray]],
        deciding: list[list[Path]],
        before: dict[Path, np.ndarray],
        x: np.ndarray,
    ) -> None:
        """Find the gradients by name, in what backward returned, as a step, or by their shape.

        `outcome` is what backward returned, and the arrays that it made.
        """
        after, (result, made) = dict(walk(thing)), outcome
        returned = others(result, x)
        trained = {path for paths in deciding for path in paths}
        for paths in deciding:
            value = before[paths[0]]
            scored = [
                (names.is_gradient_of(g, p), _together(g, p), after[g].shape == value.shape, g, p)
                for g in after for p in paths if g not in trained
            ]  # fmt: skip
            score, *_, found, path = max(
                scored, default=(0, 0, False, (), paths[0]), key=lambda s: s[:3]
            )
            changed = not equal(np.array(get(thing, paths[0])), value)
            own = label(path if score and path[-1].isalpha() else paths[0])
            if score:
                source: tuple[str, Any] = ("path", found)
            elif key := returned_key(returned, paths, value):
                source = ("returned", key[0])
            elif changed:
                source = ("step", self._rate(thing))
            elif value.ndim and (fits := self._unnamed(made, value, trained)):
                source = ("path", fits)
            else:
                if value.ndim and names.is_parameter(paths[0][-1]):
                    self.lonely.append(label(paths[0]))
                continue
            self.parameters.append(Parameter(own, paths[0], source))

    def _unnamed(
        self, made: dict[Path, np.ndarray], value: np.ndarray, trained: set[Path]
    ) -> Path | None:
        """The only array of this shape that backward has made, whatever its name."""
        fits = {id(a): p for p, a in made.items() if a.shape == value.shape and p not in trained}
        return next(iter(fits.values())) if len(fits) == 1 else None

    def _rate(self, thing: Any) -> float:
        """The learning rate of a step that `backward` took."""
        if any(
            names.role_of(p.name, ["lr"])
            for p in takes_of(getattr(thing, self.backward_name or ""))
        ):
            return _RATE
        for name in ("lr", "learning_rate", "eta", "alpha", "learn_rate"):
            if isinstance(getattr(thing, name, None), float):
                return getattr(thing, name)
        return 1.0

    def _decides(self, path: Path, x: np.ndarray, targets: Any) -> bool:
        """Whether another value at this path changes what forward gives."""
        results = []
        for step in (0.0, 0.37):
            thing = self.fresh()
            value = np.array(get(thing, path), dtype=np.float64)
            ramp = 1 + np.arange(value.size).reshape(value.shape) / max(1, value.size)
            put(thing, path, value + step * ramp)
            try:
                with seeded():
                    results.append(self.forward(thing, x.copy(), targets)[0])
            except Failure:
                return False
        return not equal(*results)


def _together(one: Path, other: Path) -> int:
    """How many steps two paths have in common: each layer of a block has a dW."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return len(list(same))
