"""Convolution: its numbers by `kernels.loop`, and what people's convolutions do instead."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernels import loop
from kernels.workspace import Workspace

from .base import Gradients, Reference, as_pair, by_role, near, settings
from .images import Layout, Order, Window, layouts, orders, results, window_of

_WORKSPACE = Workspace()
_FLIPPED = (slice(None), slice(None), slice(None, None, -1), slice(None, None, -1))
_FLATTENED = "the weights are flattened in another order than the columns of im2col"


def forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, window: Window) -> np.ndarray:
    """y (N, H, W, O) of the loop backend."""
    y = np.empty((len(x), *window.output(*x.shape[1:3]), len(weight)))
    loop.conv_forward(x, weight, bias, window.stride, window.padding, y, _WORKSPACE)
    return y


class Convolution(Reference):
    """One convolution of a student."""

    def __init__(
        self, x: np.ndarray, arrays: dict[str, Any], layout: Layout, order: Order, window: Window
    ) -> None:
        self.labels = {role: p.label for role, (p, _) in arrays.items()}
        self.layout, self.order, self.window = layout, order, window
        self.x = layout.to_loop(x)
        self.weight = order.to_loop(np.asarray(arrays["weight"][1], np.float64))
        bias = arrays.get("bias")
        self.bias_shape = () if bias is None else np.shape(bias[1])
        self.bias = np.empty(0) if bias is None else np.array(bias[1], np.float64).ravel()
        self.title = f"convolution, {window.spoken}, images as {layout.spoken}"
        rows, columns = window.output(*self.x.shape[1:3])
        self.scales = {
            "the batch size N": len(x) if layout.axes[0] == "N" else 1,
            "the number of output places": rows * columns,
            "N times the number of output places": len(x) * rows * columns,
            "the number of places in the kernel": window.size[0] * window.size[1],
            "the number of input channels": self.x.shape[3],
            "the number of output channels": len(self.weight),
        }

    def forward(self) -> np.ndarray:
        return self.layout.out.from_loop(forward(self.x, self.weight, self.bias, self.window))

    def gradients(self, dy: np.ndarray) -> Gradients:
        return self._named(
            *self._plain(self.x, self.weight, self.layout.out.to_loop(dy), self.window)
        )

    def _plain(
        self, x: np.ndarray, weight: np.ndarray, dy: np.ndarray, window: Window
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty(self.bias.size)
        loop.conv_backward_input(dy, weight, window.stride, window.padding, dx, _WORKSPACE)
        loop.conv_backward_weight(
            x, dy, window.stride, window.padding, dweight, dbias, _WORKSPACE
        )  # fmt: skip
        return dx, dweight, dbias

    def _named(
        self, dx: np.ndarray | None = None, dweight: Any = None, dbias: Any = None
    ) -> Gradients:
        found = {}
        if dx is not None:
            found["x"] = self.layout.from_loop(dx)
        if dweight is not None:
            found[self.labels["weight"]] = self.order.from_loop(dweight)
        if dbias is not None and "bias" in self.labels:
            full = np.size(dbias) == self.bias.size
            found[self.labels["bias"]] = np.reshape(dbias, self.bias_shape) if full else dbias
        return found

    # --- forward --------------------------------------------------------------------------------

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        for words, y in self._forward_mistakes():
            yield words, self.layout.out.from_loop(y)

    def _forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        x, weight, bias, window = self.x, self.weight, self.bias, self.window
        right = forward(x, weight, bias, window)
        bare = right - bias if bias.size else right
        yield (
            "the kernel is flipped: the sum is over weight[i, j] * x[row - i, ...], and layers "
            "correlate, x[row + i, ...]",
            forward(x, weight[_FLIPPED], bias, window),
        )
        yield "the kernel is flipped upside down", forward(x, weight[:, :, ::-1], bias, window)
        yield (
            "the kernel is mirrored left to right",
            forward(x, weight[:, :, :, ::-1], bias, window),
        )
        if weight.shape[2] == weight.shape[3]:
            yield "the kernel is transposed: its rows and columns are swapped", forward(
                x, weight.swapaxes(2, 3), bias, window)  # fmt: skip
        if bias.size:
            yield "the bias is not added", bare
            yield "the bias is subtracted", bare - bias
            yield "the bias is added once for each input channel", bare + bias * x.shape[3]
            places = window.size[0] * window.size[1]
            yield "the bias is added at every place of the kernel", bare + bias * places
            yield ("the bias is added for every product of the sum",
                   bare + bias * places * x.shape[3])  # fmt: skip
            yield "the biases are not those of their channels", bare + bias[::-1]
            yield "only the first bias is used", bare + bias[0]
        shown = self.layout.out.from_loop(right).shape
        yield ("the result is brought into its shape by reshape alone: a transpose is missing",
               self.layout.out.to_loop(right.reshape(shown)))  # fmt: skip
        yield from self._window_mistakes(right)
        yield "the sum over the input channels is overwritten: only the last one counts", forward(
            x[..., -1:].copy(), weight[:, -1:], bias, window)  # fmt: skip
        yield "only the first input channel is used", forward(
            x[..., :1].copy(), weight[:, :1], bias, window)  # fmt: skip
        shared = np.repeat(weight[:, :1], weight.shape[1], 1)
        yield "all input channels use the weights of the first", forward(x, shared, bias, window)
        shared = np.repeat(weight[:1], len(weight), 0)
        yield "all output channels use the weights of the first", forward(x, shared, bias, window)
        last = forward(x, weight, np.zeros(len(weight)), window)
        corner = weight[:, :, -1:, -1:]
        (top, left), (kh, kw), y = window.padding, window.size, np.empty_like(right)
        start = top - kh + 1, left - kw + 1
        loop.conv_forward(x, corner, bias, window.stride, start, y, _WORKSPACE)
        yield "the sum over the kernel is overwritten: only its last place counts", y
        if len(x) > 1:
            yield "every image of the batch gives the result of the first", np.repeat(
                right[:1], len(x), 0)  # fmt: skip
            for word, keep in (("first", 0), ("last", -1)):
                y = np.zeros_like(right)
                y[keep] = right[keep]
                yield f"only the {word} image of the batch is computed", y
        for other in _other_orders(weight):
            yield _FLATTENED, forward(x, other, bias, window)
        yield "the mean over the window is taken, not the sum", (
            last / (window.size[0] * window.size[1]) + (bias if bias.size else 0))  # fmt: skip
        yield "a ReLU is inside the layer", np.maximum(right, 0)

    def _window_mistakes(self, right: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        x, weight, bias, window = self.x, self.weight, self.bias, self.window
        rows, columns = right.shape[1:3]
        stride = window.stride
        if stride != (1, 1):
            dense = forward(x, weight, bias, window._replace(stride=(1, 1)))
            yield "the stride is ignored", dense
            yield ("the stride is ignored: only the size of the result follows it, the windows "
                   "stand next to each other", dense[:, :rows, :columns])  # fmt: skip
            yield "the stride is used for rows only", forward(
                x, weight, bias, window._replace(stride=(stride[0], 1)))  # fmt: skip
            yield "the stride is used for columns only", forward(
                x, weight, bias, window._replace(stride=(1, stride[1])))  # fmt: skip
            one, two = (dense[:, :: stride[0], :columns], dense[:, :rows, :: stride[1]])
            yield "the stride is used for the places of rows only", one[:, :rows]
            yield "the stride is used for the places of columns only", two[:, :, :columns]
        pad = window.padding
        if pad != (0, 0):
            yield (
                "the padding is ignored",
                forward(x, weight, bias, window._replace(padding=(0, 0))),
            )
            flat = np.zeros_like(right)
            inner = forward(x, weight, bias, window._replace(padding=(0, 0)))
            flat[:, : inner.shape[1], : inner.shape[2]] = inner[:, :rows, :columns]
            yield "the padding only makes the result larger, x is not padded", flat
            for mode, words in (("edge", "copies of the border"), ("reflect", "mirrored pixels"),
                                ("wrap", "the opposite side")):  # fmt: skip
                wide = [(0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)]
                with_border = np.pad(x, wide, mode=mode)  # type: ignore[call-overload]
                yield f"the padding holds {words}, not zeros", forward(
                    with_border, weight, bias, window._replace(padding=(0, 0)))  # fmt: skip
            for word, sides in (
                ("at the top and on the left", 0),
                ("at the bottom and on the right", 1),
            ):
                wide = [(0, 0), *((0, p * 2) if sides else (p * 2, 0) for p in pad), (0, 0)]
                yield f"the padding is all {word}", forward(
                    np.pad(x, wide), weight, bias, window._replace(padding=(0, 0)))  # fmt: skip
                wide = [(0, 0), *((0, p) if sides else (p, 0) for p in pad), (0, 0)]
                yield f"the padding is {word} only", forward(
                    np.pad(x, wide), weight, bias, window._replace(padding=(0, 0)))  # fmt: skip
            wide = [(0, 0), (pad[0],) * 2, (0, 0), (0, 0)]
            yield "the padding is added to the rows only", forward(
                np.pad(x, wide), weight, bias, window._replace(padding=(0, 0)))  # fmt: skip
            yield "the padding is added twice", forward(
                x, weight, bias, window._replace(padding=(2 * pad[0], 2 * pad[1])))  # fmt: skip
        if rows != columns:
            n = len(x)
            for size, axis in ((rows, "height"), (columns, "width")):
                square = np.zeros((n, size, size, len(weight)))
                square[:, : min(rows, size), : min(columns, size)] = right[:, :size, :size]
                yield (f"the result is square whatever the image is: its {axis} is taken for both",
                       square)  # fmt: skip
            yield "height and width are swapped", right.transpose(0, 2, 1, 3)
            turned = np.zeros((n, columns, rows, len(weight)))
            turned[:, :rows, :columns] = right[:, :columns, :rows]
            yield "height and width of the result are swapped", turned

    # --- backward -------------------------------------------------------------------------------

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        d, x, weight, window = self.layout.out.to_loop(dy), self.x, self.weight, self.window
        dx, dweight, _ = self._plain(x, weight, d, window)
        for words, change in (
            ("the kernel is flipped", lambda w: w[_FLIPPED]),
            ("the kernel is flipped upside down", lambda w: w[:, :, ::-1]),
            ("the kernel is mirrored left to right", lambda w: w[:, :, :, ::-1]),
        ):
            wrong = self._plain(x, change(weight), d, window)[0]
            yield f"{words} on the way back", self._named(wrong, change(dweight))
        if weight.shape[2] == weight.shape[3]:
            wrong = self._plain(x, weight.swapaxes(2, 3).copy(), d, window)[0]
            yield ("the kernel is transposed on the way back: its rows and columns are swapped",
                   self._named(wrong, dweight.swapaxes(2, 3)))  # fmt: skip
        yield from self._geometry_mistakes(d)
        yield from self._reshaped(dy)
        yield from self._overwritten(d)
        for word, n in (("first", 0), ("last", -1)):
            if len(x) > 1:
                one = self._plain(x[[n]].copy(), weight, d[[n]].copy(), window)
                yield (f"only the {word} image of the batch counts: it overwrites the others, "
                       "instead of being added", self._named(None, *one[1:]))  # fmt: skip
                zero = np.zeros_like(dx)
                zero[n] = dx[n]
                yield f"only the {word} image of the batch gets a gradient", self._named(zero)
        for words, axes in (
            ("the bias gradient is not summed over the batch", (1, 2)),
            ("the bias gradient is not summed over rows and columns", (0,)),
            ("the bias gradient is summed over the channels too", (0, 1, 2, 3)),
            ("the bias gradient is summed over the channels, not over all else", (1, 2, 3)),
        ):
            yield words, self._named(None, None, self.layout_sum(d, axes))
        yield "the bias gradient counts only the last output place", self._named(
            None, None, d[:, -1, -1].sum(0))  # fmt: skip
        yield "the bias gradient is that of the last image only", self._named(
            None, None, d[-1].sum((0, 1)))  # fmt: skip
        summed = np.broadcast_to(dweight.sum(1, keepdims=True), dweight.shape)
        yield "all input channels have the same gradient: their sum", self._named(None, summed)
        ones = self._plain(x, weight, np.ones_like(d), window)
        yield "dy is not used", self._named(*ones)
        yield "the layer uses dy where x belongs", self._named(None, self._plain(
            np.resize(d, x.shape), weight, d, window)[1])  # fmt: skip

    def layout_sum(self, d: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """The sum over axes of (N, H, W, C), the rest in the order of the student's layout."""
        kept = d.sum(axes, keepdims=True)
        kept = self.layout.out.from_loop(kept)
        return kept.reshape([n for n in kept.shape if n != 1])

    def _geometry_mistakes(self, d: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        x, weight, window = self.x, self.weight, self.window
        pad, (height, width) = window.padding, x.shape[1:3]
        wide = [(0, 0), (pad[0],) * 2, (pad[1],) * 2, (0, 0)]
        padded = np.pad(x, wide)
        bare = window._replace(padding=(0, 0), same=False)
        if pad != (0, 0):
            whole = self._plain(padded, weight, d, bare)[0]
            yield "the padding is not cropped off the gradient by x", self._named(whole)
            yield ("the padding is cropped off the wrong side of the gradient by x: all of it at "
                   "the end", self._named(whole[:, :height, :width]))  # fmt: skip
            yield ("the padding is cropped off the wrong side of the gradient by x: all of it at "
                   "the beginning", self._named(whole[:, -height:, -width:]))  # fmt: skip
            once = whole[:, pad[0] : -pad[0] or None, pad[1] : -pad[1] or None]
            twice = once[:, pad[0] : -pad[0] or None, pad[1] : -pad[1] or None]
            yield "the padding is cropped off twice", self._named(twice)
            yield "the padding is ignored on the way back", self._named(
                *self._plain(x, weight, d, bare)[:2])  # fmt: skip
            fits = bare.output(height, width)
            yield "the padding is ignored on the way back", self._named(*self._plain(
                x, weight, np.ascontiguousarray(d[:, : fits[0], : fits[1]]), bare)[:2])  # fmt: skip
        else:
            empty = x[:, 0:0, 0:0]
            yield ("padding 0 is cropped with [p:-p], which is empty: write [p : p + H], or crop "
                   "only if p > 0", self._named(empty))  # fmt: skip
        if window.stride != (1, 1):
            near_by = window._replace(stride=(1, 1))
            yield "the stride is ignored on the way back", self._named(
                *self._plain(x, weight, d, near_by)[:2])  # fmt: skip
        turned = d.transpose(0, 2, 1, 3)
        if turned.shape == d.shape:
            yield "rows and columns are swapped on the way back", self._named(
                *self._plain(x, weight, np.ascontiguousarray(turned), window)[:2])  # fmt: skip
        if height != width:
            dx = self._plain(x, weight, d, window)[0]
            yield ("height and width of the input are swapped in the gradient by x",
                   self._named(dx.transpose(0, 2, 1, 3)))  # fmt: skip
            yield ("height and width of the input are swapped in the shape of the gradient by x",
                   self._named(dx.reshape(len(dx), width, height, -1)))  # fmt: skip

    def _reshaped(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        """A dy that is made a matrix without its transpose, and a matrix made weights."""
        d, x, weight, window = self.layout.out.to_loop(dy), self.x, self.weight, self.window
        n, rows, columns, outputs = d.shape
        for words, wrong in (
            ("(-1, outputs)", dy.reshape(d.shape)),
            ("(outputs, -1)", dy.reshape(outputs, n, rows, columns).transpose(1, 2, 3, 0)),
            ("(outputs, -1)", dy.reshape(outputs, rows, columns, n).transpose(3, 1, 2, 0)),
        ):
            yield (f"dy is reshaped to {words} without the transpose before it: numbers of other "
                   "channels and places get mixed", self._named(
                       *self._plain(x, weight, np.ascontiguousarray(wrong), window)))  # fmt: skip
        dweight = self._plain(x, weight, d, window)[1]
        for other, wrong in zip(_other_orders(weight), _other_orders(dweight), strict=True):
            yield _FLATTENED, self._named(self._plain(x, other, d, window)[0], wrong)

    def _overwritten(self, d: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        """Where windows overlap, `=` instead of `+=`, for the usual orders of loops."""
        x, weight, window = self.x, self.weight, self.window
        (kh, kw), (sh, sw), (top, left) = window[:3]
        rows, columns = d.shape[1:3]
        size = x.shape[1] + 2 * top + kh, x.shape[2] + 2 * left + kw
        crop = (slice(None), slice(top, top + x.shape[1]), slice(left, left + x.shape[2]))
        words = "windows overwrite each other in the gradient by x (=), instead of adding up (+=)"
        for outputs in (slice(None), slice(-1, None)):
            wrong = np.zeros((len(x), *size, x.shape[3]))
            for i, j in np.ndindex(rows, columns):
                part = np.tensordot(d[:, i, j, outputs], weight[outputs], 1)
                wrong[:, i * sh : i * sh + kh, j * sw : j * sw + kw] = part.transpose(0, 2, 3, 1)
            yield words, self._named(wrong[crop])
        wrong = np.zeros((len(x), *size, x.shape[3]))
        for i, j in np.ndindex(kh, kw):
            wrong[:, i : i + sh * rows : sh, j : j + sw * columns : sw] = d @ weight[:, :, i, j]
        yield words, self._named(wrong[crop])
        last = np.zeros_like(d)
        last[..., -1] = d[..., -1]
        yield ("only the last output channel counts in the gradient by x: it overwrites the others",
               self._named(self._plain(x, weight, last, window)[0]))  # fmt: skip
        for one in (slice(None), slice(-1, None)):
            last = np.zeros_like(d)
            last[one, -1, -1] = d[one, -1, -1]
            dx, dweight, _ = self._plain(x, weight, last, window)
            yield ("only the last output place counts: it overwrites the others (=) instead of "
                   "adding up (+=)", self._named(dx, dweight))  # fmt: skip


def _other_orders(weight: np.ndarray) -> Iterator[np.ndarray]:
    """Weights (O, I, kh, kw) flattened in one order and read in another."""
    for axes in ((0, 2, 3, 1), (1, 2, 3, 0), (2, 3, 1, 0)):
        sizes = [weight.shape[axis] for axis in axes]
        yield np.ascontiguousarray(weight.reshape(sizes).transpose(np.argsort(axes)))
        yield weight.transpose(axes).reshape(weight.shape)


def recognise(
    student: Any, thing: Any, x: np.ndarray, y: np.ndarray, given: dict[str, Any]
) -> Convolution | None:
    """The convolution that the student means; None if it cannot be one.

    Layouts and settings that are not named are those whose numbers or shapes fit.
    """
    from ..arrays import get

    found = by_role(student, thing, {"weight": "", "bias": ""})
    if "weight" not in found:
        large = [p for p in student.parameters if np.ndim(get(thing, p.path)) >= 3]
        if not large:
            return None
        found["weight"] = large[0]
    arrays = {role: (p, np.array(get(thing, p.path))) for role, p in found.items()}
    values = settings(thing, ("stride", "padding", "kernel"), given)
    weight = arrays["weight"][1]
    loose = [c for c in _candidates(x, y, weight, values) if _bias_fits(arrays, c)]
    references = [Convolution(x, arrays, *candidate) for candidate in loose[:40]]
    right = [r for r in references if near(r.forward(), y, 1e-4)]
    shaped = [r for r in references if r.forward().shape == y.shape]
    return next(iter(right or shaped or references), None)


def _bias_fits(arrays: dict[str, Any], candidate: tuple[Layout, Order, Window]) -> bool:
    outputs = len(candidate[1].to_loop(np.asarray(arrays["weight"][1], np.float64)))
    return "bias" not in arrays or np.size(arrays["bias"][1]) == outputs


def _candidates(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, values: dict[str, Any]
) -> Iterator[tuple[Layout, Order, Window]]:
    kernel = as_pair(values["kernel"]) if not isinstance(values.get("kernel", ""), str) else None
    for layout in (each for plain in layouts(x) for each in results(plain, y.ndim)):
        image = layout.to_loop(x)
        outputs = layout.out.to_loop(y).shape[3]
        for order in orders(weight, image.shape[3], outputs, kernel):
            size = order.to_loop(weight).shape[2:]
            for stride in [values["stride"]] if "stride" in values else [1, 2, 3]:
                for padding in [values["padding"]] if "padding" in values else [0, 1, 2, "same"]:
                    yield layout, order, window_of(size, stride, padding, image.shape[1:3])
