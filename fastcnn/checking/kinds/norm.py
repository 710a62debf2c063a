"""Normalisation over any axes: batch, layer, instance and group norm, and how they go wrong."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import names
from ..arrays import get, walk
from .base import Gradients, Reference, by_role, near

Axes = tuple[int, ...]


class Norm(Reference):
    """y = gamma * (x - mean) / sqrt(variance + eps) + beta, statistics over some axes.

    `running` are statistics that the layer keeps, as (mean, variance), shaped to go with x.
    """

    def __init__(
        self,
        kind: str,
        x: np.ndarray,
        axes: Axes,
        eps: float,
        arrays: dict[str, Any],
        groups: int = 1,
    ) -> None:
        self.kind, self.axes, self.eps, self.groups = kind, axes, eps, groups
        self.arrays = arrays
        self.shape, self.x = x.shape, self._grouped(np.asarray(x, np.float64))
        self.labels = {role: p.label for role, (p, _) in arrays.items()}
        self.raw = {role: np.asarray(value, np.float64) for role, (_, value) in arrays.items()}
        self.gamma = self._wide(self.raw["gamma"]) if "gamma" in self.raw else np.float64(1)
        self.beta = self._wide(self.raw["beta"]) if "beta" in self.raw else np.float64(0)
        self.running: list[tuple[np.ndarray, np.ndarray]] = []
        over = ", ".join(map(str, axes)) if groups == 1 else f"{groups} groups"
        self.title = f"{kind} norm over axes {over}, eps {eps:g}"
        self.scales = {"the batch size N": x.shape[0], "the numbers of each mean": self._count()}

    def with_input(self, x: np.ndarray) -> "Norm":
        """The same for another input."""
        return Norm(self.kind, x, self.axes, self.eps, self.arrays, self.groups)

    def _count(self) -> int:
        return int(np.prod([self.x.shape[a] for a in self._over]))

    def _grouped(self, x: np.ndarray) -> np.ndarray:
        if self.groups == 1:
            return x
        return x.reshape(x.shape[0], self.groups, x.shape[1] // self.groups, *x.shape[2:])

    @property
    def _over(self) -> Axes:
        return self.axes if self.groups == 1 else tuple(range(2, self.x.ndim))

    def _wide(self, array: np.ndarray) -> np.ndarray:
        """A parameter shaped to be multiplied with the (grouped) x."""
        return self._grouped(np.broadcast_to(self._aligned(array), self.shape))

    def _aligned(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == len(self.shape) or array.size == 1:
            return array
        squeezed = array.reshape(-1) if array.ndim > 1 and max(array.shape) == array.size else array
        if squeezed.ndim == 1 and len(self.shape) > 2:
            axis = self._channel_axis(squeezed.size)
            shape = [1] * len(self.shape)
            shape[axis] = squeezed.size
            return squeezed.reshape(shape)
        return squeezed

    def _channel_axis(self, size: int) -> int:
        kept = [a for a in range(len(self.shape)) if a not in self.axes and self.shape[a] == size]
        return next(
            iter(
                [a for a in kept if a]
                or [a for a in range(len(self.shape) - 1, -1, -1) if self.shape[a] == size]
            )
        )

    def _narrow(self, wide: np.ndarray, role: str) -> np.ndarray:
        """The sum that is the gradient of a parameter."""
        aligned = self._aligned(self.raw[role])
        wide = wide.reshape(self.shape)
        lead = len(self.shape) - aligned.ndim
        axes = tuple(range(lead)) + tuple(
            a + lead for a, n in enumerate(aligned.shape) if n == 1
        )  # fmt: skip
        return wide.sum(axes).reshape(self.raw[role].shape)

    def _statistics(
        self, x: np.ndarray | None = None, axes: Any = None, ddof: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        x = self.x if x is None else x
        axes = self._over if axes is None else axes
        return x.mean(axes, keepdims=True), x.var(axes, keepdims=True, ddof=ddof)

    def _normalised(self, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return (self.x - mean) / np.sqrt(variance + self.eps)

    def _shown(self, hat: np.ndarray) -> np.ndarray:
        return (self.gamma * hat + self.beta).reshape(self.shape)

    def forward(self) -> np.ndarray:
        return self._shown(self._normalised(*self._statistics()))

    def gradients(self, dy: np.ndarray) -> Gradients:
        mean, variance = self._statistics()
        return self._plain(self._grouped(dy), mean, variance)

    def _plain(self, d: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> Gradients:
        hat = self._normalised(mean, variance)
        g = d * self.gamma
        over = self._over
        dx = (g - g.mean(over, keepdims=True) - hat * (g * hat).mean(over, keepdims=True)) / (
            np.sqrt(variance + self.eps)
        )  # fmt: skip
        return self._named(dx, d * hat, d)

    def _named(self, dx: Any = None, dgamma: Any = None, dbeta: Any = None) -> Gradients:
        """Gradients by label; those of the parameters still wide."""
        found = {} if dx is None else {"x": dx.reshape(self.shape)}
        for role, wide in (("gamma", dgamma), ("beta", dbeta)):
            if wide is not None and role in self.labels:
                found[self.labels[role]] = self._narrow(wide, role)
        return found

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        mean, variance = self._statistics()
        hat = self._normalised(mean, variance)
        centred = self.x - mean
        for running in self.running:
            yield "training uses the running statistics, not those of the batch", self._shown(
                self._normalised(*running))  # fmt: skip
        yield "eps stands outside the root: x / (std + eps)", self._shown(
            centred / (np.sqrt(variance) + self.eps))  # fmt: skip
        yield "the square root is missing: it is divided by the variance", self._shown(
            centred / (variance + self.eps))  # fmt: skip
        yield "eps is missing", self._shown(centred / np.sqrt(variance))
        if self._count() > 1:
            yield ("the variance is divided by the count minus one (ddof=1); batch norm "
                   "divides by the count", self._shown(self._normalised(
                       *self._statistics(ddof=1))))  # fmt: skip
        yield "the variance is the sum of squares, not their mean", self._shown(
            self._normalised(mean, variance * self._count()))  # fmt: skip
        yield "the mean is not subtracted", self._shown(self.x / np.sqrt(variance + self.eps))
        yield "it is not divided by the standard deviation", self._shown(centred)
        yield "beta is not added", (self.gamma * hat).reshape(self.shape)
        yield "gamma is not used", (hat + self.beta).reshape(self.shape)
        yield (
            "gamma is added and beta multiplied",
            (hat * self.beta + self.gamma).reshape(self.shape),
        )
        yield (
            "gamma is multiplied with beta too",
            (self.gamma * (hat + self.beta)).reshape(self.shape),
        )
        if self.groups == 1:
            ndim = self.x.ndim
            for axes in _subsets(ndim):
                if axes != self.axes:
                    words = f"mean and variance are taken over axes {axes}, not over {self.axes}"
                    other = self._statistics(axes=axes)
                    yield words, self._shown(self._normalised(*other))
                    yield f"the mean is taken over axes {axes}, not over {self.axes}", self._shown(
                        self._normalised(other[0], variance))  # fmt: skip
                    yield f"the variance is taken over axes {axes}, not {self.axes}", self._shown(
                        self._normalised(mean, other[1]))  # fmt: skip

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        d = self._grouped(dy)
        mean, variance = self._statistics()
        over, count = self._over, self._count()
        std = np.sqrt(variance + self.eps)
        hat, g = (self.x - mean) / std, d * self.gamma
        shift, stretch = g.mean(over, keepdims=True), hat * (g * hat).mean(over, keepdims=True)
        for running in self.running:
            words = "stale statistics: the way back uses the running statistics, not the batch's"
            root, stale = np.sqrt(running[1] + self.eps), self._normalised(*running)
            yield words, self._plain(d, *running)
            yield words, self._named(g / root, d * stale)
            yield words, self._named((g - shift - stretch) / root)
            old = stale * (g * stale).mean(over, keepdims=True)
            yield words, self._named((g - shift - old) / std)
            half = (self.x - mean) / root
            yield words, self._named(
                (g - shift - half * (g * half).mean(over, keepdims=True)) / root)  # fmt: skip
        yield (
            "mean and variance are taken for constants: they depend on x too",
            self._named(g / std),
        )
        yield ("the variance is taken for a constant: it depends on x too",
               self._named((g - shift) / std))  # fmt: skip
        yield (
            "the mean is taken for a constant: it depends on x too",
            self._named((g - stretch) / std),
        )
        bare = d - d.mean(over, keepdims=True) - hat * (d * hat).mean(over, keepdims=True)
        yield "gamma is missing in the gradient by x", self._named(bare / std)
        yield "gamma is used twice in the gradient by x", self._named(
            self.gamma * (g - shift - stretch) / std)  # fmt: skip
        yield "it is divided by the variance, not by the standard deviation", self._named(
            (g - shift - stretch) / std**2)  # fmt: skip
        yield "it is not divided by the standard deviation", self._named(g - shift - stretch)
        yield (
            "it is multiplied with the standard deviation",
            self._named((g - shift - stretch) * std),
        )
        yield "eps is missing on the way back", self._named(
            (g - shift - (self.x - mean) / np.sqrt(variance) * (g * (self.x - mean)
             / np.sqrt(variance)).mean(over, keepdims=True)) / np.sqrt(variance))  # fmt: skip
        yield "a minus sign is wrong before the term of the variance", self._named(
            (g - shift + stretch) / std)  # fmt: skip
        yield "a minus sign is wrong before the term of the mean", self._named(
            (g + shift - stretch) / std)  # fmt: skip
        for words, left, right in (
            ("both means", count, count),
            ("the term of the mean", count, 1),
            ("the term of the variance", 1, count),
        ):
            yield f"1/N is missing: {words} are sums over the batch, not means", self._named(
                (g - left * shift - right * stretch) / std)  # fmt: skip
        n = self.x.shape[over[0]]
        if n != count:
            k = count / n
            yield ("the sums are divided by the batch size alone, not by batch, rows and columns",
                   self._named((g - k * shift - k * stretch) / std))  # fmt: skip
            yield ("the sums are divided by the batch size alone, not by batch, rows and columns",
                   self._named(k * (g - shift - stretch) / std))  # fmt: skip
        for wrong in (stretch * std, stretch / std):
            yield ("the derivative of the variance's root has the wrong power: it is -1/2 times "
                   "(variance + eps) ** -3/2", self._named((g - shift - wrong) / std))  # fmt: skip
        yield "the factor 2 of the variance's derivative is missing", self._named(
            (g - shift - stretch / 2) / std)  # fmt: skip
        yield "the factor 2 of the variance's derivative is there twice", self._named(
            (g - shift - 2 * stretch) / std)  # fmt: skip
        raw = self.x * (g * hat).mean(over, keepdims=True)
        yield "x stands where the normalised x belongs", self._named((g - shift - raw) / std)
        yield "x stands where the normalised x belongs", self._named(None, d * self.x)
        yield "x minus its mean stands where the normalised x belongs", self._named(
            None, d * (self.x - mean))  # fmt: skip
        yield "y stands where the normalised x belongs", self._named(
            None, d * (self.gamma * hat + self.beta))  # fmt: skip
        yield "dgamma and dbeta are swapped", self._named(None, d, d * hat)
        yield "gamma is in the gradients of gamma and beta", self._named(
            None, d * hat * self.gamma, d * self.gamma)  # fmt: skip
        for role, wide in (("gamma", d * hat), ("beta", d)):
            if role in self.labels:
                label, wide = self.labels[role], wide.reshape(self.shape)
                yield f"the gradient of {role} is not summed", {label: wide}
                for axes in _subsets(wide.ndim):
                    yield (f"the gradient of {role} is summed over axes {axes} only",
                           {label: wide.sum(axes)})  # fmt: skip
                    yield (f"the gradient of {role} is a mean, not a sum", {label: wide.mean(axes)})
        yield "dy is passed on as it is", self._named(d)
        yield "only gamma is used: dy * gamma", self._named(g)


def _subsets(rank: int) -> list[Axes]:
    return [tuple(a for a in range(rank) if bits >> a & 1) for bits in range(1, 1 << rank)]


def recognise(
    student: Any, thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any]
) -> Norm | None:
    """The normalisation that is meant; axes that its name leaves open are those that fit."""
    if y.shape != x.shape or x.ndim < 2:
        return None
    found = by_role(student, thing, {"gamma": "", "beta": ""})
    arrays = {role: (p, np.array(get(thing, p.path))) for role, p in found.items()}
    name = names.plain(student.name)
    eps, groups = _eps(thing, given), 1
    images, last = x.ndim == 4, (x.ndim - 1,)
    if "layer" in name or name.startswith("ln"):
        kind, options = "layer", [tuple(range(1, x.ndim)), last]
    elif "instance" in name:
        kind, options = "instance", [(2, 3), (1, 2)] if images else []
    elif "group" in name or name.startswith("gn"):
        kind, options = "group", [tuple(range(2, x.ndim))]
        values = {**getattr(thing, "__dict__", {}), **given}
        groups = next(
            (v for k, v in values.items() if names.role_of(k, ["groups"]) and isinstance(v, int)), 1
        )
        if x.shape[1] % groups:
            return None
    else:
        kind, options = "batch", [(0, 2, 3), (0, 1, 2)] if images else [(0,)]
        if (
            images
            and arrays
            and len({np.size(a) for _, a in arrays.values()} & {x.shape[1], x.shape[3]}) == 1
        ):
            size = np.size(next(iter(arrays.values()))[1])
            options = [(0, 2, 3)] if size == x.shape[1] else [(0, 1, 2)]
    made = []
    for axes in options:
        try:
            norm = Norm(kind, x, axes, eps, arrays, groups)
            norm.forward()
        except (ValueError, StopIteration):
            continue
        norm.running = _running(student.thing, x, axes) + _running(thing, x, axes)
        made.append(norm)
    right = [each for each in made if near(each.forward(), y, 1e-6)]
    return next(iter(right or made), None)


def _eps(thing: Any, given: dict[str, Any]) -> float:
    for source in (given, getattr(thing, "__dict__", {})):
        for key, value in source.items():
            if names.role_of(key, ["eps"]) and isinstance(value, float):
                return value
    return 1e-5


_SHORT = {"rm": "mean", "rmu": "mean", "mm": "mean", "rv": "variance", "mv": "variance"}


def running_names(thing: Any) -> dict[str, tuple[str, ...]]:
    """The paths, by "mean" and "variance", of the statistics that a layer keeps."""
    found: dict[str, tuple[str, ...]] = {}
    for path, array in walk(thing):
        bare = names.plain(path[-1])
        kept = any(
            w in bare for w in ("run", "mov", "glob", "ema", "avg", "average", "pop", "test")
        )
        if array.ndim and bare in _SHORT:
            found.setdefault(_SHORT[bare], path)
        elif array.ndim and kept and not bare.startswith("d"):
            kind = "mean" if "mean" in bare or "mu" in bare else "variance" if "var" in bare else ""
            if kind:
                found.setdefault(kind, path)
    return found


def _running(thing: Any, x: np.ndarray, axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    paths = running_names(thing)
    shape = [1 if a in axes else n for a, n in enumerate(x.shape)]
    arrays = [np.array(get(thing, paths[k])) for k in ("mean", "variance") if k in paths]
    if len(arrays) != 2 or any(a.size != np.prod(shape) for a in arrays):
        return []
    return [(arrays[0].reshape(shape), arrays[1].reshape(shape))]
