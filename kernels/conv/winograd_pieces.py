"""How `winograd` cuts filters into pieces and joins groups, by shapes alone."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from kernels.conv import winograd_four as four
from kernels.conv import winograd_pairs as of_pairs
from kernels.conv import winograd_two as two
from kernels.tile import vector_lanes

Pair = tuple[int, int]
_PLANES = {(4, 3): four.PLANES, (2, 3): two.PLANES, (2, 2): of_pairs.PLANES}


def planes_of(side: int, taps: int = 3) -> int:
    """How many products stand for the outputs of a window of that side.

    taps : rows, and columns, of a piece
    """
    return _PLANES[side, taps]


class Pieces(NamedTuple):
    """How a filter is cut into pieces.

    down, across : how many
    taps : rows, and columns, of one: 3 or 2
    stride : of the convolution: in the filter, from one tap of a piece to the next
    phases : going back with a stride, as many parts of what is made have filters of their own
    """

    down: int
    across: int
    taps: int
    stride: Pair
    phases: Pair

    @property
    def count(self) -> int:
        """Pieces of a filter, or of that of a phase."""
        return self.down * self.across

    @property
    def pairs(self) -> bool | None:
        """See `winograd_image`."""
        return True if self.taps == 2 else None

    @property
    def steps(self) -> Pair:
        """Pixels from one tap of a piece to the next."""
        return self.stride if self.phases == (1, 1) else (1, 1)

    def table(
        self, kernel: Pair, turned: bool, padding: Pair, columns: int, width: int
    ) -> np.ndarray:
        """For all pieces, phase by phase: three numbers each.

        Row and column of the first tap in the filter, which may lie above or left of turned ones;
        where in a padded image the first window begins.

        padding : of the images that are made, going back
        columns, width : of a padded image, and of a pixel of it
        """
        rows, right = (self._along(axis, kernel[axis], turned, padding[axis]) for axis in (0, 1))
        pairs = [itertools.product(*both) for both in itertools.product(rows, right)]
        places = [
            (row, column, (down * columns + across) * width)
            for phase in pairs for (row, down), (column, across) in phase
        ]  # fmt: skip
        return np.array(places, np.int64)

    def _along(
        self, axis: int, kernel: int, turned: bool, padding: int
    ) -> list[list[tuple[int, int]]]:
        """Along one axis, of each piece of each phase: its first tap, the pixel it begins with."""
        stride, step, count = self.stride[axis], self.steps[axis], (self.down, self.across)[axis]
        starts = [piece // step * self.taps * step + piece % step for piece in range(count)]
        if not turned:
            return [[(start, start) for start in starts]]
        phases, last = [], -(-kernel // stride) - self.taps
        for phase in range(self.phases[axis]):
            place = phase + padding % stride  # in an image with its padding
            phases.append(
                [((last - start) * stride + place % stride, start + place // stride)
                 for start in starts]
            )  # fmt: skip
        return phases


def reach_of(kernel: Pair, stride: Pair) -> Pair:
    """Rows and columns of the taps that a stride brings to one pixel: of a phase's filter."""
    return -(-kernel[0] // stride[0]), -(-kernel[1] // stride[1])


def pieces_of(kernel: Pair, stride: Pair = (1, 1), is_back: bool = False) -> Pieces:
    """Pieces of 3 x 3 or 2 x 2, whichever makes fewer products.

    With a stride a piece has every so-many-th tap. (5, 5) by (2, 2): four pieces of 3 x 3, the
    filter's even and odd rows and columns; or going back four phases, each with one of these.
    """
    reach = reach_of(kernel, stride)
    numbers = {taps: math.prod(-(-each // taps) for each in reach) for taps in (2, 3)}
    is_paired = numbers[2] * planes_of(2, 2) / 4 < numbers[3] * planes_of(4) / 16
    taps = 2 if is_paired else 3
    steps, phases = ((1, 1), stride) if is_back else (stride, (1, 1))
    down, across = (steps[axis] * -(-reach[axis] // taps) for axis in (0, 1))
    return Pieces(down, across, taps, stride, phases)


ONE_PIECE = Pieces(1, 1, 3, (1, 1), (1, 1))


class Groups(NamedTuple):
    """How the groups of a convolution are multiplied."""

    count: int
    depth: int  # input channels of a group
    filters: int
    joined: int  # groups that are multiplied as one
    pieces: Pieces  # of a filter, each with channels of its own

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Joined groups, and input channels and filters of each of them."""
        depth = self.pieces.count * self.joined * self.depth
        return self.count // self.joined, depth, self.joined * self.filters


def groups_of(
    count: int, depth: int, filters: int, dtype: np.dtype, pieces: Pieces = ONE_PIECE
) -> Groups:
    """Groups of so many channels each; as many are joined as a vector holds the filters of."""
    most = max(1, int(vector_lanes(np.empty(0, dtype))) // filters)
    joined = max(k for k in range(1, min(count, most) + 1) if count % k == 0)
    return Groups(count, depth, filters, joined, pieces)
