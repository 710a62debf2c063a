"""A network as a table: what its rows say, and where its values lie.

A row is a step: its `KIND`, the values that it reads (`X`, `EXTRA`) and writes (`Y`), how it ends
(`RELU`), and the numbers of its kind from `OWN` on, in the order of that kind's function. A value
is what a step gives for each sample of a batch, one sample behind the other:

    values[v] = (offset, numbers from one sample to the next, whether it is shared)

Shared values lie in memory for all samples of the batch. The others live between neighbouring
steps only, and so for those samples alone that somebody works on.
"""

from typing import NamedTuple

from kernels import jit

KIND, X, Y, EXTRA, RELU, OWN = range(6)
COLUMNS = OWN + 24
NONE = -1

(PIXELS, FLOATS, DIRECT_CONV, WINOGRAD, DEPTHWISE, DENSE, POOL, TURN, SCALE, PUT, ELEMENTWISE) = (
    range(11)
)
NOTHING = -1  # of a step that has been done by the one before it
COPY, ADD, MULTIPLY, RECTIFY, LEAKY, SIGMOID, TANH = range(7)  # what `ELEMENTWISE` does

# Columns of a table of phases, see `run`.
FIRST, LAST, GROUP, PARTS, ITEMS, PRIVATE, CLAIMS = range(7)


class Frame(NamedTuple):
    """Which samples somebody works on, and where their values lie.

    count : samples in the batch
    group, first : for how many samples there is room, and the first of them
    base : where the values begin that are not shared
    """

    count: int
    group: int
    first: int
    base: int


@jit.serial
def address(values, value, frame, sample):
    """Where a value of a sample begins in memory."""
    offset, step = values[value, 0], values[value, 1]
    if values[value, 2]:
        return offset * frame.count + sample * step
    return frame.base + offset * frame.group + (sample - frame.first) * step
