"""Pooling: its numbers by `kernels.loop`, and what people's pooling does instead."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels import loop

from .base import Gradients, Reference, as_pair, near, settings
from .images import Layout, Window, layouts, window_of


class Pooling(Reference):
    """One pooling layer of a student."""

    def __init__(
        self, x: np.ndarray, layout: Layout, window: Window, kind: str, flat: bool = False
    ) -> None:
        self.layout, self.window, self.kind = layout, window, kind
        self.x, self.flat = layout.to_loop(x), flat  # flat: y is (N, C)
        self.title = f"{kind} pooling, {window.spoken}, images as {layout.spoken}"
        self.scales = {
            "the batch size N": len(self.x),
            "the number of places in the window": window.size[0] * window.size[1],
        }

    def _run(
        self, window: Window, kind: str | None = None, x: Any = None, size: Any = None
    ) -> np.ndarray:
        x = self.x if x is None else x
        y = np.zeros((len(x), *(size or window.output(*x.shape[1:3])), x.shape[3]))
        if y.size == 0:
            return y
        kind = kind or self.kind
        if kind == "max":
            index = np.empty(y.shape, np.int32)
            loop.max_pool_forward(x, window.size, window.stride, window.padding, y, index)
        else:
            include = kind == "average"
            loop.average_pool_forward(x, window.size, window.stride, window.padding, include, y)
        return y

    def _given(self, y: np.ndarray) -> np.ndarray:
        """The student's y."""
        return y.reshape(len(y), -1) if self.flat else self.layout.from_loop(y)

    def _taken(self, dy: np.ndarray) -> np.ndarray:
        """(N, H, W, C) from the student's dy."""
        return dy.reshape(len(dy), 1, 1, -1) if self.flat else self.layout.to_loop(dy)

    def forward(self) -> np.ndarray:
        return self._given(self._run(self.window))

    def gradients(self, dy: np.ndarray) -> Gradients:
        return {"x": self.layout.from_loop(self._plain(self._taken(dy), self.window))}

    def _plain(self, d: np.ndarray, window: Window, kind: str | None = None) -> np.ndarray:
        dx = np.empty_like(self.x)
        at = window.size, window.stride, window.padding
        if (kind or self.kind) == "max":
            y, index = np.empty_like(d), np.empty(d.shape, np.int32)
            loop.max_pool_forward(self.x, *at, y, index)
            loop.max_pool_backward(d, index, *at, dx)
        else:
            loop.average_pool_backward(d, *at, (kind or self.kind) == "average", dx)
        return dx

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        for words, y in self._forward_mistakes():
            yield words, self._given(y)

    def _forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        window = self.window
        right = self._run(window)
        rows, columns = right.shape[1:3]
        size, stride, pad = window.size, window.stride, window.padding
        bare = window._replace(padding=(0, 0), same=False)
        wide = [(0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)]
        zeros = np.pad(self.x, wide)
        if self.kind == "max":
            if pad != (0, 0):
                yield ("zeros of the padding win the maximum where all of the image is negative: "
                       "pad with -inf", self._run(bare, x=zeros))  # fmt: skip
            yield "the mean is taken, not the maximum", self._run(window, "average")
            yield "the minimum is taken, not the maximum", -self._run(window, x=-self.x)
            yield "the largest absolute value is taken", self._run(window, x=np.abs(self.x))
        else:
            yield "the maximum is taken, not the mean", self._run(window, "max")
            yield "the sum is taken, not the mean", right * size[0] * size[1]
            yield "the sum is divided by one side of the window only", right * size[0]
        if stride != (1, 1):
            dense = self._run(window._replace(stride=(1, 1)))
            yield "the stride is ignored", dense
            yield ("the stride is ignored: only the size of the result follows it, the windows "
                   "stand next to each other", dense[:, :rows, :columns])  # fmt: skip
        if stride != size:
            tiled = self._run(window._replace(stride=size))
            words = "the stride is ignored: the size of the window is taken for it"
            yield words, tiled
            yield words, self._run(window._replace(stride=size), size=(rows, columns))
            if self.kind == "average":
                yield words, self._run(window._replace(stride=size), "part", size=(rows, columns))
            yield "the window is as large as the stride", self._run(window._replace(size=stride))
        if pad != (0, 0):
            yield "the padding is ignored", self._run(bare)
        up = window._replace(same=False)
        more = [-(-(n + 2 * p - k) // s) + 1 for n, p, k, s in zip(
            self.x.shape[1:3], pad, size, stride, strict=True)]  # fmt: skip
        if more != [rows, columns]:
            fill = -np.inf if self.kind == "max" else 0
            ends = [(0, 0), (0, size[0]), (0, size[1]), (0, 0)]
            longer = self._run(up, x=np.pad(self.x, ends, constant_values=fill))
            yield ("the size of the result is rounded up: windows that hang over the border "
                   "are computed", longer[:, : more[0], : more[1]])  # fmt: skip
        if rows != columns:
            yield "height and width are swapped", right.transpose(0, 2, 1, 3)
            for n, axis in ((rows, "height"), (columns, "width")):
                square = np.zeros((len(self.x), n, n, right.shape[3]))
                square[:, : min(rows, n), : min(columns, n)] = right[:, :n, :n]
                yield (
                    f"the result is square whatever the image is: its {axis} is taken for both",
                    square,
                )
        yield "one maximum is taken over all channels", np.broadcast_to(
            right.max(3, keepdims=True), right.shape)  # fmt: skip
        if len(right) > 1:
            yield "every image of the batch gives the result of the first", np.repeat(
                right[:1], len(right), 0)  # fmt: skip

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        for words, dx in self._gradient_mistakes(self._taken(dy)):
            yield words, {"x": self.layout.from_loop(dx)}

    def _gradient_mistakes(self, d: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        window, places = self.window, self.window.size[0] * self.window.size[1]
        right = self._plain(d, window)
        mean = self._plain(d, window, "average")
        if self.kind == "max":
            yield ("ties are shared: every place of a window that holds its maximum gets the whole "
                   "gradient, and only one of them may", self._windows(d, "ties"))  # fmt: skip
            yield ("ties are shared: the gradient is divided among the places that hold the "
                   "maximum, and one of them must get all", self._windows(d, "split"))  # fmt: skip
            yield "the gradient goes to the first place of the window, not to the maximum", (
                self._windows(d, "first"))  # fmt: skip
            yield "the gradient is spread over the window like that of a mean", mean
            yield "the whole gradient goes to every place of the window", mean * places
            yield "the gradient goes to the smallest place of the window", self._windows(d, "min")
            yield ("the place in the window is read with rows and columns swapped",
                   self._windows(d, "turned"))  # fmt: skip
            yield "the maximum itself is handed back, not the gradient", self._windows(
                np.ones_like(d), "value")  # fmt: skip
            yield "the gradient is multiplied with the maximum", self._windows(d, "value")
            yield "dy is not used: the mask of the maxima is given back", self._windows(
                np.ones_like(d), "ties")  # fmt: skip
        else:
            yield "the gradient is not divided by the number of places in the window", mean * places
            for side in window.size:
                yield (f"the gradient is divided by {side}, a side of the window, not by the "
                       f"number of its places, {places}", mean * places / side)  # fmt: skip
            yield (
                "all of the gradient goes to the first place of the window",
                self._windows(d, "first"),
            )
            yield (
                "all of the gradient goes to the largest place of the window",
                self._windows(d, "ties"),
            )
        words = "windows overwrite each other in the gradient by x (=), instead of adding up (+=)"
        yield words, self._windows(d, "ties" if self.kind == "max" else "mean", overwrite=True)
        yield words, self._windows(d, "only" if self.kind == "max" else "mean", overwrite=True)
        if window.stride != (1, 1):
            yield "the stride is ignored on the way back", self._plain(
                d, window._replace(stride=(1, 1)))  # fmt: skip
            for kind in ("ties", "mean"):
                yield "the stride is ignored where the gradient is put", self._windows(
                    d, kind, put=(1, 1))  # fmt: skip
        if window.stride != window.size:
            for kind in ("tied", "mean"):
                yield ("the stride is ignored on the way back: the size of the window is taken for "
                       "it", self._windows(d, kind, stride=window.size))  # fmt: skip
        if window.padding != (0, 0):
            yield "the padding is not cropped off the gradient by x", self._windows(
                d, "ties" if self.kind == "max" else "mean", crop=False)  # fmt: skip
            yield "the padding is ignored on the way back", self._windows(
                d, "ties" if self.kind == "max" else "mean", padding=(0, 0))  # fmt: skip
        if right.shape[1] != right.shape[2]:
            yield "height and width of the input are swapped in the gradient by x", (
                right.transpose(0, 2, 1, 3))  # fmt: skip
            yield "height and width of the input are swapped in the shape of the gradient by x", (
                right.reshape(len(right), right.shape[2], right.shape[1], -1))  # fmt: skip
        for word, n in (("first", 0), ("last", -1)):
            if len(right) > 1:
                one = np.zeros_like(right)
                one[n] = right[n]
                yield f"only the {word} image of the batch gets a gradient", one
        for word, c in (("first", 0), ("last", -1)):
            one = np.zeros_like(right)
            one[..., c] = right[..., c]
            yield f"only the {word} channel gets a gradient", one

    def _windows(
        self,
        d: np.ndarray,
        how: str,
        overwrite: bool = False,
        stride: tuple[int, int] | None = None,
        padding: tuple[int, int] | None = None,
        crop: bool = True,
        put: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """The gradient by x, window by window, each with a share of `d` as `how` says."""
        (kh, kw), (sh, sw), (top, left) = self.window[:3]
        sh, sw = stride or (sh, sw)
        top, left = padding if padding is not None else (top, left)
        height, width = self.x.shape[1:3]
        far = d.shape[1] * sh + kh, d.shape[2] * sw + kw
        fill = -np.inf if self.kind == "max" else 0.0
        ends = [(0, 0), (top, far[0]), (left, far[1]), (0, 0)]
        x = np.pad(self.x, ends, constant_values=fill)
        dx = np.zeros_like(x)
        for i, j in np.ndindex(*d.shape[1:3]):
            at = (slice(None), slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw))
            part = _share(x[at], how) * d[:, i : i + 1, j : j + 1]
            if put is not None:
                at = (slice(None), slice(i, i + kh), slice(j, j + kw))
            if overwrite and how == "only":  # dx[place of the maximum] = dy
                dx[at] = np.where(_share(x[at], "ties") > 0, part, dx[at])
            else:
                dx[at] = part + (0 if overwrite else dx[at])
        if not crop:
            return dx[:, : height + 2 * top, : width + 2 * left]
        return dx[:, top : top + height, left : left + width]


def _share(x: np.ndarray, how: str) -> np.ndarray:
    """What each place of a window (N, kh, kw, C) gets of its gradient."""
    n, kh, kw, c = x.shape
    top = (x == x.max((1, 2), keepdims=True)).astype(float)
    if how in ("ties", "only", "tied"):
        return top
    if how == "value":
        return top * np.where(np.isfinite(x), x, 0)
    if how == "split":
        return top / top.sum((1, 2), keepdims=True)
    if how == "min":
        return (x == x.min((1, 2), keepdims=True)).astype(float)
    if how == "mean":
        return np.full(x.shape, 1 / (kh * kw))
    found = np.zeros((n, kh * kw, c))
    if how == "turned":
        place = x.reshape(n, -1, c).argmax(1)
        place = (place % kw) * kw + place // kw if kh == kw else place
        np.put_along_axis(found, place[:, None], 1.0, 1)
    else:
        found[:, 0] = 1
    return found.reshape(x.shape)


def recognise(
    name: str, thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any]
) -> Pooling | None:
    """The pooling that the student means; what is not named is what fits."""
    values = settings(thing, ("kernel", "stride", "padding"), given)
    kinds = ["max", "average", "average without padding"]
    if "avg" in name.lower() or "average" in name.lower() or "mean" in name.lower():
        kinds = kinds[1:]
    elif "max" in name.lower():
        kinds = kinds[:1]
    found = []
    for layout in layouts(x):
        image = layout.to_loop(x)
        if x.ndim == 4 and y.shape == (image.shape[0], image.shape[3]):
            height, width = image.shape[1:3]
            window = Window((height, width), (height, width), (0, 0))
            found += [Pooling(x, layout, window, kind, flat=True) for kind in kinds]
            continue
        if y.ndim != x.ndim or layout.to_loop(y).shape[3] != image.shape[3]:
            continue
        sizes = [values["kernel"]] if "kernel" in values else [2, 3, 4]
        if "global" in name.lower():
            sizes = [image.shape[1:3]]
        for size in map(as_pair, sizes):
            strides = [values["stride"]] if "stride" in values else [size, 1, 2, 3]
            for stride in strides:
                for padding in [values["padding"]] if "padding" in values else [0, 1]:
                    window = window_of(size, stride, padding, image.shape[1:3])
                    found += [Pooling(x, layout, window, kind) for kind in kinds]
    found = [each for each in found if each.window.padding < each.window.size][:60]
    right = [each for each in found if near(each.forward(), y, 1e-4)]
    shaped = [each for each in found if each.forward().shape == y.shape]
    return next(iter(right or shaped or found), None)
