"""A network planned for samples of one shape: a table, its constants, and where everything lies.

Neighbouring steps whose weights fit a core's cache together are a stretch, which takes a few
samples at a time from its first step to its last; with few samples in the batch each step is cut
into parts instead, for all threads at once. Neither changes what is computed, nor its order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels import inference as kernels
from kernels import jit
from kernels.inference import table as t
from kernels.inference.multiplication import AT_ONCE
from kernels.workspace import Workspace

from ..conversion import for_kernels
from ..layers.memory import Shape, in_memory, memory_of, seen
from ..network.row import Logits, before_softmax, ends_of
from .operations import Operation
from .steps import SLACK, Call, Step, Steps

# Multiply-adds of a batch that one thread does sooner than several come together: an image of
# `cifar-cnn` (2.5 million) took 1.1 times as long with one thread as with two, one of `lenet5` 0.8.
_WAKE = 1_000_000 if jit.threading_layer() == "crew" else 4_000_000
_FROM_MEMORY = 16  # multiply-adds in the time in which a weight comes that no cache holds
_PART = 50_000  # multiply-adds that a part has at least
_MOST_PARTS = 8
_WEIGHTS = 1 << 17  # numbers of a stretch's weights: half of an L2 cache
_LARGE = 1 << 18  # numbers of weights that are read once for a batch, not once for some samples
_SAMPLES = 96 * 1024  # numbers of the samples that are on their way through a stretch
_MOST_SAMPLES = 64
_MOST_BATCHES = 16  # sizes whose cuts are kept


class _Stretch(NamedTuple):
    """Steps first to last; `private`: numbers of a sample that only they need."""

    first: int
    last: int
    private: int
    is_cut: bool  # whether its one step is always cut into parts


class _Cut(NamedTuple):
    """A plan for batches of one size.

    pieces : phases of the table, or calls of layers
    sizes : what `kernels.inference.run` is told
    numbers, claims : how many it needs of memory, and of counters
    """

    pieces: list[np.ndarray | Call]
    sizes: tuple[int, int, int, int]
    numbers: int
    claims: int
    workers: int


class Plan:
    """How a network answers for samples of one shape.

    Parameters
    ----------
    operations : sequence of Operation
        In order.
    outputs : tuple of int
        The values that come out.
    shapes : list of tuple
        By value, of a sample as layers see it; the inputs are the first ones.
    inputs : int
        How many there are.
    normalization : pair of arrays
        Scale and offset of pixels, by channel.
    dtype : dtype
        Of all numbers.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        outputs: tuple[int, ...],
        shapes: list[Shape],
        inputs: int,
        normalization: tuple[np.ndarray, np.ndarray],
        dtype: np.dtype,
    ) -> None:
        self.dtype, self.outputs = dtype, outputs
        steps = Steps(dtype, list(shapes))
        steps.inputs(inputs, *normalization)
        for each in operations:
            steps.operation(each)
        calls = ((each.layer, each.reads, each.target) for each in operations)
        self._logits = before_softmax(calls, outputs)
        self._done, self._shapes = steps.done, steps.shapes
        self._numbers = [steps.numbers(value) for value in range(len(steps.shapes))]
        self._apart = [
            steps.apart.get(value, numbers) for value, numbers in enumerate(self._numbers)
        ]
        self._constants = steps.all_constants()
        self._stretches = list(self._in_stretches())
        self._values, self._shared = self._places()
        self._steps = self._rows(steps.place_of_scale)
        self._cuts: dict[Any, _Cut] = {}
        self._turn = 0

    # --- made once --------------------------------------------------------------------------------

    def _rows(self, scale0: int) -> dict[str, np.ndarray]:
        """The table, by how the first input is given."""
        rows = np.zeros((max(1, len(self._done)), t.COLUMNS), np.int64)
        for row, step in zip(rows, self._done, strict=True):
            if isinstance(step, Step):
                row[: len(step.row)] = step.row
        found = {"rows": rows}
        if len(self._shapes[0]) == 3 and self._done[0].writes == 0:
            channels, height, width = self._shapes[0]
            pixels, turned = rows.copy(), rows.copy()
            pixels[0, t.KIND] = t.PIXELS
            goes_flat = self._flattens_at_once()
            pixels[0, t.OWN : t.OWN + 4] = channels, height * width, scale0, goes_flat
            turned[0, t.OWN : t.OWN + 5] = 0, channels, height * width, self._numbers[0], 1
            if goes_flat:  # as they are given
                turned[0, t.OWN : t.OWN + 5] = 0, 1, self._numbers[0], self._numbers[0], 0
                for table in (pixels, turned):
                    table[0, t.Y], table[1, t.KIND] = rows[1, t.Y], t.NOTHING
            found |= {"pixels": pixels, "turned": turned}
        return found

    def _flattens_at_once(self) -> bool:
        """Whether nobody needs the images but a layer that flattens them."""
        readers = [step for step in self._done if 0 in step.reads]
        first = readers[0] if readers else None
        wanted = (*self.outputs, *self._logits.values())
        return (
            len(readers) == 1
            and first is self._done[1]
            and isinstance(first, Step)
            and first.row[t.KIND] == t.TURN
            and 0 not in wanted
        )

    def _in_stretches(self) -> Any:
        """(first step, last step, whether it is one that is always cut), or calls, in order."""
        first = weights = 0
        for i, step in enumerate(self._done):
            if isinstance(step, Call):
                alone, more = True, 0
            else:
                alone, more = step.row[t.KIND] == t.DENSE and step.weights > _LARGE, step.weights
            if first < i and (alone or weights + more > _WEIGHTS):
                yield _Stretch(first, i, 0, False)
                first, weights = i, 0
            weights += more
            if alone:
                yield _Stretch(first, i + 1, 0, True)
                first, weights = i + 1, 0
        if first < len(self._done):
            yield _Stretch(first, len(self._done), 0, False)

    def _lives(self) -> list[tuple[int, int]]:
        """By value: the step that writes it first, and the last one that needs it."""
        lives = [(len(self._done), -1)] * len(self._shapes)
        for i, step in enumerate(self._done):
            for value in (*step.reads, step.writes):
                first, last = lives[value]
                lives[value] = min(first, i), max(last, i)
        for value in (*self.outputs, *self._logits.values()):
            lives[value] = lives[value][0], len(self._done)
        return lives

    def _places(self) -> tuple[np.ndarray, int]:
        """The table of values, and how many numbers those take that are shared, a sample."""
        lives = self._lives()
        values = np.zeros((len(lives), 3), np.int64)
        values[:, 1] = self._apart
        values[:, 2] = 1
        for number, stretch in enumerate(self._stretches):
            if stretch.is_cut:
                continue
            inside = [
                value
                for value, (first, last) in enumerate(lives)
                if stretch.first <= first and last < stretch.last
            ]
            values[inside, 2] = 0
            private = _packed(inside, lives, values)
            self._stretches[number] = stretch._replace(private=private)
        # Samples go through a stretch at their own pace: what is read and written in it lives
        # through all of it.
        number = [i for i, each in enumerate(self._stretches) for _ in range(each.first, each.last)]
        number.append(len(self._stretches))
        whole = [(number[first], number[max(0, last)]) for first, last in lives]
        shared = [value for value in range(len(lives)) if values[value, 2]]
        return values, _packed(shared, whole, values)

    # --- for a number of samples ------------------------------------------------------------------

    def _cut(self, count: int) -> _Cut:
        threads = jit.get_threads()
        found = self._cuts.get((count, threads))
        if found is None:
            if len(self._cuts) >= _MOST_BATCHES:
                self._cuts = {}
            found = self._cuts[count, threads] = self._cut_for(count, threads)
        return found

    def _cut_for(self, count: int, threads: int) -> _Cut:
        steps = [step for step in self._done if isinstance(step, Step)]
        work, weights = count * sum(step.cost for step in steps), sum(s.weights for s in steps)
        if weights > _LARGE:
            work += weights * _FROM_MEMORY
        workers = threads if work >= _WAKE else 1
        is_fine = workers > 1 and count < 4 * workers
        pieces: list[Any] = []
        private = claims = 0
        phases: list[list[int]] = []
        for stretch in self._stretches:
            step = self._done[stretch.first]
            if isinstance(step, Call):
                pieces += [phases, step]
                phases = []
                continue
            if is_fine or stretch.is_cut:
                here = list(self._parts(stretch, count, workers))
                private = max(private, stretch.private * count)
            else:
                group = max(1, min(_MOST_SAMPLES, _SAMPLES // max(1, stretch.private)))
                group = min(group, -(-count // (2 * workers if workers > 1 else 1)))
                items = -(-count // group)
                own = max(1, stretch.private)
                here = [[stretch.first, stretch.last, group, 1, items, own]]
                private = max(private, workers * own * group)
            for phase in here:
                phases.append([*phase, claims])
                claims += 1 + phase[t.ITEMS]
        pieces.append(phases)
        tables = [
            np.array(each, np.int64).reshape(-1, t.CLAIMS + 1) if isinstance(each, list) else each
            for each in pieces
            if not isinstance(each, list) or each
        ]
        scratch = max((step.scratch for step in steps), default=0)
        scratch = -(-scratch // SLACK) * SLACK + SLACK
        private0 = -(-self._shared * count // SLACK) * SLACK
        scratch0 = private0 + -(-private // SLACK) * SLACK
        sizes = (count, private0, scratch0, scratch)
        return _Cut(tables, sizes, scratch0 + workers * scratch + SLACK, claims, workers)

    def _parts(self, stretch: _Stretch, count: int, workers: int) -> Any:
        """Phases in which all work at one step, or at several that are too small for that."""
        for i in range(stretch.first, stretch.last):
            step = self._done[i]
            assert isinstance(step, Step)
            parts = max(1, min(step.parts, _MOST_PARTS, step.cost // _PART))
            group = 1
            if step.row[t.KIND] == t.DENSE:  # rows together, columns apart
                group = count
                parts = max(1, min(step.parts // AT_ONCE, 2 * _MOST_PARTS))
            yield [i, i + 1, group, parts, -(-count // group) * parts, 0]

    # --- run --------------------------------------------------------------------------------------

    def run(self, x: np.ndarray, logits: Logits, workspace: Workspace) -> Any:
        """y for a batch as layers see it, or pixels; valid until this thread's next run.

        x : uint8 (N, C, H, W), or floats
        """
        cut = self._cut(len(x))
        kind, given = self._given(x)
        self._turn += 1
        memory = workspace.array("memory", (cut.numbers,), self.dtype)
        claims = workspace.array("claims", (cut.claims,), np.int64)
        left_out, wanted = ends_of(self.outputs, self._logits, logits)
        for piece in cut.pieces:
            if isinstance(piece, Call):
                if piece.writes in left_out:
                    continue  # the softmax
                self._call(piece, len(x), memory)
            else:
                kernels.run(
                    self._steps[kind], self._values, piece, self._constants, memory, claims,
                    given, (*cut.sizes, self._turn), cut.workers,
                )  # fmt: skip
        found = tuple(seen(self._view(value, len(x), memory)) for value in wanted)
        return found[0] if len(found) == 1 else found

    def _given(self, x: np.ndarray) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
        """Which table is for it, and what goes into the kernel."""
        if x.dtype == np.uint8:
            return "pixels", (for_kernels(x).reshape(-1), self._constants[:0])
        nothing = _NO_PIXELS
        if x.ndim == 4 and x.flags.c_contiguous and "turned" in self._steps:
            return "turned", (nothing, for_kernels(x).reshape(-1))
        return "rows", (nothing, memory_of(x).reshape(-1))

    def _view(self, value: int, count: int, memory: np.ndarray) -> np.ndarray:
        """A shared value of all samples, as it lies."""
        offset, step, _ = self._values[value].tolist()
        rows = memory[offset * count : (offset + step) * count].reshape(count, step)
        shape = in_memory(self._shapes[value])
        return rows[:, : self._numbers[value]].reshape(count, *shape)

    def _call(self, call: Call, count: int, memory: np.ndarray) -> None:
        given: Any = [seen(self._view(value, count, memory)) for value in call.reads]
        y = call.layer.forward(given if call.layer.takes_several else given[0])
        seen(self._view(call.writes, count, memory))[...] = y


_NO_PIXELS = np.empty(0, np.uint8)


def _packed(which: list[int], lives: list[tuple[int, int]], values: np.ndarray) -> int:
    """Write the offsets of some values, those that live at once apart; how much room they take."""
    placed: list[tuple[int, int, int, int]] = []  # begin, end, first step, last step
    room = 0
    for value in sorted(which, key=lambda each: lives[each]):
        first, last = lives[value]
        size = -(-int(values[value, 1]) // SLACK) * SLACK
        start = 0
        for begin, end, since, until in sorted(placed):
            if since <= last and first <= until:
                if begin - start >= size:
                    break
                start = max(start, end)
        values[value, 0] = start
        placed.append((start, start + size, first, last))
        room = max(room, start + size)
    return room
