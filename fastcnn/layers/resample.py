"""Images of another size: padding, and scaling."""

import functools
from typing import Any

import numpy as np

from kernels import resample as kernels

from .. import checks
from ..checks import Pair
from . import spoken
from .base import Layer
from .memory import Shape, memory_of, seen
from .window import check_images, check_padding, plain, sides

_MOST_TABLES = 200  # of each kind; an image of another size needs two


class _Resampled(Layer):
    """A layer whose rows and columns are copies or mixtures of those of its input."""

    @property
    def _constant(self) -> float:
        """What lies outside an image."""
        return 0.0

    def _taps(self, size: int, outputs: int, axis: int) -> kernels.Taps:
        """What the outputs of an axis are made of."""
        raise NotImplementedError

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        batch, channels, height, width = self.check_input(x)
        taps = self._taps(x.shape[2], height, 0), self._taps(x.shape[3], width, 1)
        image = memory_of(x)
        y = self.result((batch, height, width, channels), x.dtype, training)
        kernels.resample(image, *taps, self._constant, y)
        if training:
            self.remember(seen(y), image.shape, taps)
        return seen(y)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        image_shape, (rows, columns) = self.recall(dy)
        dx = self.gradient(image_shape, dy.dtype, dy)
        kernels.resample_backward(memory_of(dy), rows, columns, dx)
        return seen(dx)


class Pad(_Resampled):
    """Puts pixels around the images, or cuts some off.

        x (N, C, H, W) -> y (N, C, top + H + bottom, left + W + right), float32 or float64

        mode          a row 1 2 3 with 2 more at each end becomes
        "zeros"       0 0 1 2 3 0 0
        "constant"    v v 1 2 3 v v    for value=v
        "reflect"     3 2 1 2 3 2 1
        "replicate"   1 1 1 2 3 3 3

    as PyTorch's ZeroPad2d, ConstantPad2d, ReflectionPad2d and ReplicationPad2d, whose padding is
    (left, right, top, bottom). A negative number cuts as many pixels off that side.

    Parameters
    ----------
    padding : int, pair or pair of pairs
        Pixels, one number, a pair (height, width) or ((top, bottom), (left, right)).
    mode : {"zeros", "constant", "reflect", "replicate"}
        What they are.
    value : float
        The constant.

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit: "reflect" needs images larger than
        the padding.

    Examples
    --------
    >>> Pad(((0, 0), (0, 2)), mode="reflect").forward(np.float32([[[[1, 2, 3]]]]))
    array([[[[1., 2., 3., 2., 1.]]]], dtype=float32)
    >>> Pad(((0, 0), (-1, 0))).forward(np.float32([[[[1, 2, 3]]]]))
    array([[[[2., 3.]]]], dtype=float32)
    """

    positional = 1

    def __init__(
        self, padding: int | Pair | tuple[Pair, Pair], mode: str = "zeros", value: float = 0.0
    ) -> None:
        super().__init__()
        if isinstance(padding, str):
            raise ValueError(f"Pad: padding must be whole numbers of pixels, got {padding!r}")
        self.padding = check_padding("Pad", padding, uneven=True, least=None)
        modes = ("zeros", "constant", "reflect", "replicate")
        if mode not in modes:
            raise ValueError(f"Pad: {checks.unknown('mode', mode, modes)}")
        self.mode = mode
        self.value = checks.finite("Pad", "value", value)
        if self.value and mode != "constant":
            raise ValueError(f'Pad: value belongs to mode="constant", not to {mode!r}')

    @property
    def _constant(self) -> float:
        return self.value

    def arguments(self) -> dict[str, Any]:
        return {"padding": plain(self.padding), "mode": self.mode, "value": self.value}

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        axes = [*zip(input_shape[2:], sides(self.padding), strict=True)]
        if self.mode == "reflect":
            for size, pads in axes:
                if max(pads) >= size:
                    raise ValueError(
                        f"{self.name}: an image of shape {spoken.shape(input_shape)} has too few "
                        f"pixels to be reflected; use less padding or mode='replicate'"
                    )
        if any(size + min(*pads, sum(pads)) < 1 for size, pads in axes):
            raise ValueError(
                f"{self.name}: it cuts all off images of shape {spoken.shape(input_shape)}"
            )
        return (*input_shape[:2], *(size + sum(pads) for size, pads in axes))

    def _taps(self, size: int, outputs: int, axis: int) -> kernels.Taps:
        return _padded(size, outputs, sides(self.padding)[axis][0], self.mode)


class Upsample(_Resampled):
    """Scales the images.

        x (N, C, H, W) -> y (N, C, H_out, W_out), float32 or float64

        "nearest"    y[h, w] = x[floor(h * H / H_out), floor(w * W / W_out)]
        "bilinear"   y[h, w] is mixed of the four pixels around the place
                         ((h + 0.5) * H / H_out - 0.5, ...)          if not align_corners,
                         (h * (H - 1) / (H_out - 1), ...)            if align_corners

    as in PyTorch. Without `align_corners` pixels are areas, and the outermost halves are as at
    their middle; with it they are points, and the corners stay corners.

    Parameters
    ----------
    scale_factor : int or pair, optional
        H_out / H and W_out / W, one whole number or a pair.
    size : int or pair, optional
        H_out and W_out instead, larger or smaller than the image.
    mode : {"nearest", "bilinear"}
        How pixels are made.
    align_corners : bool
        Which of the two conventions, of "bilinear".

    Raises
    ------
    ValueError
        If an argument or the shape of an input does not fit.

    Examples
    --------
    >>> Upsample(2).forward(np.float32([[[[1, 2]]]]))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]], dtype=float32)
    """

    positional = 1

    def __init__(
        self,
        scale_factor: int | Pair | None = None,
        size: int | Pair | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if (scale_factor is None) == (size is None):
            raise ValueError(
                f"Upsample: give either scale_factor or size, got {scale_factor!r} and {size!r}"
            )
        factor = scale_factor is not None
        self.scale_factor = (
            checks.pair("Upsample", "scale_factor", scale_factor) if factor else None
        )
        self.size = None if factor else checks.pair("Upsample", "size", size)
        modes = ("nearest", "bilinear")
        if mode not in modes:
            raise ValueError(f"Upsample: {checks.unknown('mode', mode, modes)}")
        self.mode = mode
        self.align_corners = checks.flag("Upsample", "align_corners", align_corners)
        if self.align_corners and mode == "nearest":
            raise ValueError('Upsample: align_corners belongs to mode="bilinear", not to "nearest"')

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.scale_factor is not None:
            given["scale_factor"] = plain(self.scale_factor)
        if self.size is not None:
            given["size"] = plain(self.size)
        return given | {"mode": self.mode, "align_corners": self.align_corners}

    def output_shape(self, input_shape: Shape) -> Shape:
        check_images(self.name, input_shape)
        if self.size is not None:
            return (*input_shape[:2], *self.size)
        rows, columns = self.scale_factor or (1, 1)
        return (*input_shape[:2], rows * input_shape[2], columns * input_shape[3])

    def _taps(self, size: int, outputs: int, axis: int) -> kernels.Taps:
        return _scaled(size, outputs, self.mode, self.align_corners)


# Tables follow from these few numbers, so they are kept here and not in each layer, whose settings
# may change. They stay where they are, for a list of kernels holds them by their memory.


@functools.lru_cache(maxsize=_MOST_TABLES)
def _padded(size: int, outputs: int, before: int, mode: str) -> kernels.Taps:
    """What `Pad` makes an axis of."""
    place = np.arange(outputs) - before
    if mode == "replicate":
        place = np.clip(place, 0, size - 1)
    elif mode == "reflect":
        place = size - 1 - abs(size - 1 - abs(place))
    else:
        place = np.where(place < size, place, -1)
    return kernels.copies(place)


@functools.lru_cache(maxsize=_MOST_TABLES)
def _scaled(size: int, outputs: int, mode: str, align_corners: bool) -> kernels.Taps:
    """What `Upsample` makes an axis of."""
    o = np.arange(outputs)
    if mode == "nearest":
        # In float32, as PyTorch: where the quotient is whole but for rounding, this decides.
        place = np.float32(o) * (np.float32(size) / np.float32(outputs))
        return kernels.copies(np.minimum(np.floor(place), size - 1))
    if align_corners:
        return kernels.between(o * ((size - 1) / max(outputs - 1, 1)), size)
    return kernels.between(np.maximum((o + 0.5) * (size / outputs) - 0.5, 0), size)
