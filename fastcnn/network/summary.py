"""A network as a table: its layers, what they give, what they cost, and how long they take."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels import jit, peak

from ..layers import Layer
from ..layers.memory import Clock, Shape, seen
from ..layers.norm import single_numbers
from ..layers.wiring import Wiring
from .core import Core
from .row import Row

_COLUMNS = 80  # of a terminal
_TURNS, _SECONDS = 5, 0.004  # of each pass, in turns with the others and with the peak


@dataclass
class Line:
    """A row of the table: a layer, with the shape of its input where that is known."""

    text: str
    output: Shape | None
    parameters: int
    layer: Layer | None = None
    input: Shape | None = None
    times: "Times | None" = None

    @property
    def multiply_adds(self) -> int:
        """For one sample."""
        if self.layer is None or self.input is None:
            return 0
        return self.layer.multiply_adds(self.input)


@dataclass
class Times:
    """Seconds forward and backward, and the share of the peak, turn by turn."""

    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def lines(network: Core, sample: Shape | None) -> list[Line]:
    """The layers, those inside others below them; `sample` is one input, channels first."""
    found = []
    for shown, layer, shape, is_first in network.walk(sample):
        (text, *numbers), *inside = layer.summary_rows(shape)
        rows = [(shown.format(text), *numbers), *inside]
        places = list(_family(layer, shape)) if shape is not None else []
        if len(places) != len(rows):  # a container of one's own, which shows itself only
            places = [(layer, shape)] + [(None, None)] * (len(rows) - 1)
        for (text, output, count), (place, given) in zip(rows, places, strict=True):
            found.append(Line(text, output, count * is_first, place, given))
    return found


def _family(layer: Layer, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """A layer and those inside it, in the order of its `summary_rows`, with their inputs."""
    yield layer, shape
    inner = shape
    for name, child in layer.children():
        if name.endswith(".0"):
            inner = shape
        yield from _family(child, inner)
        inner = child.output_shape(inner)


def table(network: Core, sample: Shape | None) -> str:
    """Layers, outputs, parameters."""
    rows = [("layer", "output", "parameters")]
    for line in lines(network, sample):
        rows.append((line.text, _size(line.output), f"{line.parameters:,}" * bool(line.parameters)))
    rows += [(text, "", f"{count:,}") for text, count in _totals(network)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows
    )


def _totals(network: Core) -> Iterator[tuple[str, int]]:
    total, trained = network.parameters.count, network.parameters.trained_count
    yield "total", total
    if trained < total:
        yield "frozen", total - trained


def _size(output: Shape | None, by: str = " x ") -> str:
    return "" if output is None else by.join(map(str, output[1:]))


# --- how long they take ---------------------------------------------------------------------------


@single_numbers()  # also a batch of one sample takes its time
def timed(network: Core, sample: Shape, batch: int) -> str:
    """The table with multiply-adds of a sample, and milliseconds of a batch in training.

    A copy is run, so that nothing of the network changes.
    """
    network = copy.deepcopy(network)
    found = lines(network, sample)
    whole, fastest = Line("in one", None, 0), 0.0
    outer = {id(layer) for layer in network.layers if not layer.takes_several}
    tasks = list(_tasks(network, [each for each in found if id(each.layer) in outer], batch))
    tasks.append(_together(network, sample, whole, batch))
    for _ in range(_TURNS):
        fastest = 1e9 * peak.gflops(network.dtype)
        for line, forward, backward, operations in tasks:
            times = line.times = line.times or Times()
            one, two = _seconds(forward, backward)
            times.forward.append(one)
            if backward is not None:
                times.backward.append(two)
            times.shares.append(operations / (one + two) / fastest)
    rows = [("layer", "output", "params", "MACs", "forward", "back", "of peak")]
    for line in found:
        count, size = f"{line.parameters:,}" * bool(line.parameters), _size(line.output, "x")
        rows.append((line.text, size, count, _short(line.multiply_adds), *_cells(line.times)))
    work = sum(layer.multiply_adds(shape) for _, layer, shape, _ in network.walk(sample))
    (_, total), *frozen = _totals(network)
    rows.append(("in one", "", f"{total:,}", _short(work), *_cells(whole.times)))
    rows += [(text, "", f"{count:,}", "", "", "", "") for text, count in frozen]
    threads = jit.get_threads()
    return "\n".join(_aligned(rows)) + (
        f"\nMACs: multiplications with their additions, of one sample. Milliseconds of a\nbatch of "
        f"{batch} on {threads} thread{'s' * (threads != 1)}, each layer by itself; in one: as "
        f"training runs them.\nOf peak: MACs per second of the direct method, as a share of what "
        f"is measured\nbeside them, {fastest / 1e9:,.0f} GFLOP/s of the processor."
    )


_Task = tuple[Line, Callable[[], object], Callable[[], object] | None, int]


def _tasks(network: Core, found: list[Line], batch: int) -> Iterator[_Task]:
    """Each layer with a forward and a backward pass, as training needs them."""
    learning = [i for i, line in enumerate(found) if line.layer and line.layer.learns]
    first = learning[0] if learning else len(found)
    for i, line in enumerate(found):
        layer, shape, output = line.layer, line.input, line.output
        assert layer is not None and shape is not None and output is not None
        row = Row((layer,), Wiring.of_row(1), None, Clock(0))
        x = _numbers((batch, *shape[1:]), network.dtype)
        dy = _numbers((batch, *output[1:]), network.dtype)
        work = 2 * batch * line.multiply_adds

        def forward(row: Row = row, x: np.ndarray = x) -> None:
            row.forward("summary", x, logits=False)

        def backward(row: Row = row, dy: np.ndarray = dy, to_input: bool = i > first) -> None:
            row.backward("summary", dy, logits=False, to_input=to_input)

        if i < first:  # nothing before it is trained
            yield line, forward, None, work
        else:
            yield line, forward, backward, work * (1 + (i > first) + layer.learns)


def _together(network: Core, sample: Shape, line: Line, batch: int) -> _Task:
    """The whole network with what it does in one step."""
    row = network.new_row(network.layers, None, Clock(0))
    x = _numbers((batch, *sample), network.dtype)
    dy: Any = row.forward("summary", x, logits=True)
    if isinstance(dy, tuple):
        dy = tuple(_numbers(each.shape, network.dtype) for each in dy)
    else:
        dy = _numbers(dy.shape, network.dtype)
    row.backward("summary", dy, logits=True, to_input=False)
    work, is_later = 0, False
    for _, layer, shape, _ in network.walk(sample):
        times = 1 + (is_later + layer.learns) * (is_later or layer.learns)
        work += 2 * batch * layer.multiply_adds(shape) * times
        is_later = is_later or layer.learns

    def forward() -> None:
        row.forward("summary", x, logits=True)

    def backward() -> None:
        row.backward("summary", dy, logits=True, to_input=False)

    return line, forward, backward, work


def _numbers(shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Random numbers that lie in memory as the layers have them."""
    order = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape
    return seen(np.random.default_rng(0).standard_normal(order).astype(dtype))


def _seconds(
    forward: Callable[[], object], backward: Callable[[], object] | None
) -> tuple[float, float]:
    """Means of both over some calls; the first call may compile, and is not counted."""
    one = two = 0.0
    calls = -1
    while calls < 1 or one + two < _SECONDS:
        started = time.perf_counter()
        forward()
        middle = time.perf_counter()
        if backward is not None:
            backward()
        if calls >= 0:
            one += middle - started
            two += time.perf_counter() - middle
        calls += 1
    return one / calls, two / calls


def _cells(times: Times | None) -> tuple[str, str, str]:
    if times is None:
        return "", "", ""
    share = statistics.median(times.shares)
    back = f"{1e3 * statistics.median(times.backward):.3g}" if times.backward else ""
    percent = f"{share:.0%}" if share else ""
    return f"{1e3 * statistics.median(times.forward):.3g}", back, percent


def _short(count: int) -> str:
    """A number in at most seven letters."""
    for name, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 10 * size or count >= size > 1e3:
            return f"{count / size:.3g} {name}"
    return f"{count:,}" if count else ""


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows, the first column as wide as the others leave room for."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[0] = min(widths[0], max(12, _COLUMNS - sum(widths[1:]) - 2 * (len(widths) - 1)))
    found = []
    for name, size, *numbers in rows:
        name = name if len(name) <= widths[0] else f"{name[: widths[0] - 1]}…"
        cells = [f"{name:<{widths[0]}}", f"{size:<{widths[1]}}"]
        cells += [f"{each:>{width}}" for each, width in zip(numbers, widths[2:], strict=True)]
        found.append("  ".join(cells).rstrip())
    return found
