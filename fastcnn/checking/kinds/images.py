"""How people lay out images and the weights of convolutions, brought to that of `kernels.loop`."""

from typing import NamedTuple

import numpy as np

_TO_LOOP = {"NCHW": (0, 2, 3, 1), "NHWC": (0, 1, 2, 3), "CHW": (1, 2, 0), "HWC": (0, 1, 2)}
ORDERS = ("OIHW", "HWIO", "HWOI", "IOHW", "OHWI", "IHWO")


class Layout(NamedTuple):
    """Axes of the student's images: NCHW, NHWC, CHW, HWC or HW; those of y if they are others."""

    axes: str
    result: str = ""

    @property
    def out(self) -> "Layout":
        """That of y."""
        return Layout(self.result or self.axes)

    def to_loop(self, x: np.ndarray) -> np.ndarray:
        """(N, H, W, C), C-contiguous float64, from the student's images."""
        if self.axes == "HW":
            return np.ascontiguousarray(x[None, :, :, None], np.float64)
        x = x.transpose(_TO_LOOP[self.axes])
        return np.ascontiguousarray(x if self.axes[0] == "N" else x[None], np.float64)

    def from_loop(self, x: np.ndarray) -> np.ndarray:
        """The student's images from (N, H, W, C)."""
        if self.axes == "HW":
            return x[0, :, :, 0]
        x = x if self.axes[0] == "N" else x[0]
        return x.transpose(np.argsort(_TO_LOOP[self.axes]))

    @property
    def spoken(self) -> str:
        """As people write it."""
        return ", ".join(self.axes)


def layouts(x: np.ndarray) -> list[Layout]:
    """Those that images of such a rank may have, the usual one first."""
    by_rank = {4: ["NCHW", "NHWC"], 3: ["CHW", "HWC"], 2: ["HW"]}
    return [Layout(axes) for axes in by_rank.get(x.ndim, [])]


def results(layout: Layout, rank: int) -> list[Layout]:
    """The layout with those that its y may have, if that has `rank` axes."""
    if len(layout.axes) == rank:
        return [layout]
    return [Layout("HW", "HWC"), Layout("HW", "CHW")] if layout.axes == "HW" and rank == 3 else []


class Order(NamedTuple):
    """Axes of the student's weights, O for outputs and I for inputs; flat: to a matrix."""

    axes: str
    flat: str = ""  # "OR": (outputs, the rest); "RO": (the rest, outputs)
    full: tuple[int, ...] = ()

    def to_loop(self, weight: np.ndarray) -> np.ndarray:
        """(O, I, H, W) from the student's weights."""
        if self.flat:
            weight = (weight.T if self.flat == "RO" else weight).reshape(self.full)
        return np.ascontiguousarray(weight.transpose([self.axes.index(a) for a in "OIHW"]))

    def from_loop(self, weight: np.ndarray) -> np.ndarray:
        """The student's from (O, I, H, W)."""
        weight = weight.transpose(["OIHW".index(a) for a in self.axes])
        if self.flat:
            weight = weight.reshape(weight.shape[0], -1)
            weight = weight.T if self.flat == "RO" else weight
        return weight


def orders(
    weight: np.ndarray, inputs: int, outputs: int, kernel: tuple[int, int] | None
) -> list[Order]:
    """Those that fit the numbers of channels."""
    found = []
    if weight.ndim == 4:
        for axes in ORDERS:
            sizes = dict(zip(axes, weight.shape, strict=True))
            if (sizes["O"], sizes["I"]) == (outputs, inputs):
                found.append(Order(axes))
    elif weight.ndim == 3:  # one input channel that is left out
        for axes in ("OIHW", "IHWO"):
            sizes = dict(zip(axes.replace("I", ""), weight.shape, strict=True))
            if inputs == 1 and sizes["O"] == outputs:
                shape = weight.shape
                full = (shape[0], 1, *shape[1:]) if axes[0] == "O" else (1, *shape)
                found.append(_Thin(axes, "", full))
    elif weight.ndim == 2 and kernel and weight.size == outputs * inputs * kernel[0] * kernel[1]:
        for rest, shape in (("IHW", (inputs, *kernel)), ("HWI", (*kernel, inputs))):
            for flat in ("OR", "RO"):
                if weight.shape[flat.index("O")] == outputs:
                    found.append(Order(f"O{rest}", flat, (outputs, *shape)))
    return found


class _Thin(Order):
    """Weights without an axis for their one input channel."""

    def to_loop(self, weight: np.ndarray) -> np.ndarray:
        return super().to_loop(weight.reshape(self.full))

    def from_loop(self, weight: np.ndarray) -> np.ndarray:
        return (
            super()
            .from_loop(weight)
            .reshape([n for n, a in zip(self.full, self.axes, strict=True) if a != "I"])
        )


class Window(NamedTuple):
    """How a window moves over an image: sizes, steps, and pixels before the first."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    same: bool = False  # the output is the input's size divided by the stride, rounded up

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output."""
        if self.same:
            return -(-height // self.stride[0]), -(-width // self.stride[1])
        rows, columns = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(
                (height, width), self.padding, self.size, self.stride, strict=True
            )
        )
        return max(rows, 0), max(columns, 0)

    @property
    def spoken(self) -> str:
        """As people say it."""
        size = "x".join(map(str, self.size))
        stride, padding = (str(v[0]) if v[0] == v[1] else str(v) for v in self[1:3])
        return f"{size}, stride {stride}, padding {'same' if self.same else padding}"


def window_of(
    size: tuple[int, int], stride: object, padding: object, image: tuple[int, int]
) -> Window:
    """From settings as a constructor takes them, "same" and "valid" included."""
    from .base import as_pair

    steps = as_pair(stride)
    if isinstance(padding, str):
        if padding.lower() != "same":
            return Window(size, steps, (0, 0))
        top, left = (
            max((-(-n // s) - 1) * s + k - n, 0) // 2
            for n, s, k in zip(image, steps, size, strict=True)
        )
        return Window(size, steps, (top, left), True)
    return Window(size, steps, as_pair(padding))
