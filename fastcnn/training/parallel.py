"""Training in several processes, on one machine or many: `MPI`.

Each process computes some images of every batch, and all make the same step. The bits are those of
one process: sums over the batch run along a tree of chunks (`kernels.portion`), of which each
process has a branch. What is little is not shared out but known to all: the network's outputs and
with them the loss, the statistics of small arrays, the step. `docs/scale.md` says what that costs.

    mpiexec -n 4 python -m fastcnn.train --model resnet20

or in a program that ``mpiexec`` starts: ``model.train(x, y, parallel=fastcnn.training.MPI())``.
"""

import contextlib
import functools
import importlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kernels import jit
from kernels.cores import usual_threads
from kernels.portion import MAX_CHUNKS, Portion, add_tree, cut
from kernels.workspace import Workspace

from .. import backends
from .lifeline import Lifeline
from .sharing import once_per_host
from .travelling import Travelling

_Value = TypeVar("_Value")

_SECONDS_AGREE = 5.0  # for all processes to fail of the same fault
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


class Alone(Portion):
    """Training in one process: what several would have to agree on is what this one says.

    Attributes
    ----------
    is_first : bool
        Whether it is this process that prints and writes files.
    """

    is_first = True

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Which of the flags is set in some process."""
        return flags

    def said(self, value: Any) -> Any:
        """What the first process says."""
        return value

    def agree(self, facts: Mapping[str, Any], batch_size: int) -> None:
        """Refuse processes that do not train the same, and batches that are too small for them."""

    def add(self, gradients: Iterable[NDArray[Any]]) -> None:
        """Make the gradients of this process's images those of the whole batch."""

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """A block that the others enter when the first process is done with it.

        What it refuses, all refuse.
        """
        yield

    @contextlib.contextmanager
    def only_first(self) -> Iterator[bool]:
        """A block for the first process, which is given True; what it refuses, all refuse."""
        yield True

    def once(self, load: Callable[[], _Value]) -> _Value:
        """What ``load`` gives, such as a dataset, which the processes of a host have in common.

        It is called in the first process, and when that is done in one of each other host.
        """
        return load()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is raised within this block ends all processes."""
        yield

    @property
    def threads(self) -> int:
        """How many threads this process should have."""
        return usual_threads()


class MPI(Alone):
    """Training in all processes that ``mpiexec`` has started.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        Of 1, 2, 4, 8 or 16 processes, all of which train; default: all there are.

    Raises
    ------
    ValueError
        If mpi4py is missing or does not fit, or there is another number of processes.
    """

    def __init__(self, communicator: Any = None) -> None:
        self._lifeline = None
        if communicator is None:
            communicator = _world()
            self._lifeline = _lifeline()
        count = communicator.Get_size()
        if count > MAX_CHUNKS or count & (count - 1):
            raise ValueError(
                f"a batch can be shared out to 1, 2, 4, 8 or {MAX_CHUNKS} processes, got {count}: "
                f"give a process more threads instead"
            )
        self._comm = communicator.Dup()  # no message of ours is taken for one of the user's
        self.processes, self.rank = count, communicator.Get_rank()
        self.is_first = self.rank == 0
        self._total, self._divides = 0, False
        self._room = Workspace()
        self._travelling = Travelling(self._comm)

    # --- a batch --------------------------------------------------------------------------------

    def share(self, images: int) -> slice:
        self._total = images
        self._divides = self.processes > 1 and images >= MAX_CHUNKS
        if not self._divides:  # a last small batch: each computes all of it
            return slice(0, images)
        return slice(self._begin(self.rank), self._begin(self.rank + 1))

    def _begin(self, rank: int) -> int:
        return self._total * rank // self.processes

    def images(self, here: int) -> int:
        return self._total if self._divides else here

    @property
    def begins(self) -> int:
        return self._begin(self.rank) if self._divides else 0

    def borders(self, here: int, chunks: int) -> NDArray[np.int64]:
        if not self._divides:
            return super().borders(here, chunks)
        mine = chunks // self.processes
        return cut(self._total, chunks, self.rank * mine, (self.rank + 1) * mine)

    def splits(self, chunks: int) -> bool:
        return not self._divides or chunks >= self.processes

    def blocks(self, count: int) -> tuple[int, int]:
        if not self._divides:
            return super().blocks(count)
        return count * self.rank // self.processes, count * (self.rank + 1) // self.processes

    def settle(self, *totals: NDArray[Any]) -> None:
        if self._divides and not self.is_first:
            for total in totals:
                total.fill(-0.0)  # x + -0 is x, for 0 and -0 too

    # --- messages -------------------------------------------------------------------------------

    def whole(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if not self._divides:
            return arrays
        return tuple(self._gather(f"whole {i}", array) for i, array in enumerate(arrays))

    def _gather(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        whole = self._room.array(name, (self._total, *array.shape[1:]), array.dtype)
        size = array[0].size
        counts = [size * (self._begin(r + 1) - self._begin(r)) for r in range(self.processes)]
        self._comm.Allgatherv(np.ascontiguousarray(array), [whole, counts])
        return whole

    def first(self, row: NDArray[Any]) -> NDArray[Any]:
        if not self._divides:
            return row
        row = row.copy()
        self._comm.Bcast(row)
        return row

    def totals(self, sums: NDArray[np.float64], chunks: int) -> int:
        if not self._divides:
            return chunks
        self._add(add_tree(sums.reshape(chunks, -1)))
        return 1

    def computed(self, gradients: Iterable[NDArray[Any]]) -> None:
        if self._divides:
            for each in gradients:
                self._travelling.begin(each)

    def add(self, gradients: Iterable[NDArray[Any]]) -> None:
        if self._divides:
            for flat in gradients:
                for rest in self._travelling.rest(flat):
                    self._add(rest)
            self._travelling.end()

    def _add(self, array: NDArray[Any]) -> None:
        """The upper part of the tree: pairs of processes, then pairs of pairs.

        Partners add the same two numbers, in whatever order, and so get the same bits.
        """
        other = self._room.array("other", array.shape, array.dtype)
        distance = 1
        while distance < self.processes:
            partner = self.rank ^ distance
            self._comm.Sendrecv(array, partner, recvbuf=other, source=partner, recvtag=0)
            array += other
            distance *= 2

    # --- agreeing -------------------------------------------------------------------------------

    def any(self, *flags: bool) -> tuple[bool, ...]:
        mine = np.array(flags, np.uint8)
        everybody = np.zeros((self.processes, len(flags)), np.uint8)
        self._comm.Allgather(mine, everybody)
        return tuple(bool(flag) for flag in everybody.max(axis=0))

    def said(self, value: Any) -> Any:
        return self._comm.bcast(value)

    def agree(self, facts: Mapping[str, Any], batch_size: int) -> None:
        if self.processes == 1:
            return
        if backends.current_name() != "numba":
            raise ValueError(
                f"the backend {backends.current_name()} adds up a batch in one process only: take "
                f"numba, or start one process"
            )
        if batch_size < MAX_CHUNKS:
            raise ValueError(
                f"{self.processes} processes share batches of at least {MAX_CHUNKS} images, got "
                f"batch_size {batch_size}"
            )
        everybody = self._comm.allgather((socket.gethostname(), dict(facts)))
        for rank, (host, theirs) in enumerate(everybody):
            for name, wanted in everybody[0][1].items():
                if theirs.get(name) != wanted:
                    raise ValueError(
                        f"process {rank} on {host} has another {name} than process 0: "
                        f"{theirs.get(name)} instead of {wanted}; start all with the same"
                    )

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        if not self.is_first:
            self._hear()
            yield
            return
        try:
            yield
        except (ValueError, OSError) as error:
            self.said((isinstance(error, ValueError), str(error)))
            raise
        self.said(None)

    def _hear(self) -> None:
        """Wait until the first process is done, and raise what it raises."""
        refusal = self.said(None)
        if refusal is not None:
            is_value, words = refusal
            raise ValueError(words) if is_value else OSError(words)

    @contextlib.contextmanager
    def only_first(self) -> Iterator[bool]:
        if self.is_first:
            with self.in_turn():
                yield True
        else:
            yield False
            self._hear()

    def once(self, load: Callable[[], _Value]) -> _Value:
        host, own = self._host, []  # all make it, before anybody waits
        with self.in_turn():
            if not host.Get_rank():
                own.append(load())
        return once_per_host(host, lambda: own[0] if own else load())

    @functools.cached_property
    def _host(self) -> Any:
        """The processes of this machine."""
        return self._comm.Split_type(_module().COMM_TYPE_SHARED)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is raised within this block ends all processes.

        Where all of them raise, each goes its own way, else nobody would wait for the others.
        """
        try:
            yield
        except BaseException as error:
            if self._all_fail():
                raise
            words = str(error) or type(error).__name__
            if self._lifeline is not None:
                self._lifeline.over()
            print(f"error: process {self.rank}: {words}", file=sys.stderr, flush=True)
            self._comm.Abort(2 if isinstance(error, ValueError) else 1)

    def _all_fail(self) -> bool:
        """Whether the other processes fail too, within a moment."""
        request, until = self._comm.Ibarrier(), time.monotonic() + _SECONDS_AGREE
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    @property
    def threads(self) -> int:
        """A fair part of the cores that the processes of this machine may use."""
        if not hasattr(os, "sched_getaffinity"):
            return max(1, usual_threads() // self._host.Get_size())
        mine = self._host.allgather(os.sched_getaffinity(0))
        fair = len(set().union(*mine)) // len(mine)
        return max(1, min(usual_threads(), fair))


def _module() -> Any:
    return importlib.import_module("mpi4py.MPI")  # it starts MPI: only where somebody wants it


def started(environment: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    """(rank, number of processes) if ``mpiexec`` has started this one; a number may be unknown: 0.

    Parameters
    ----------
    environment : mapping, optional
        Default: this process's.
    """
    found = os.environ if environment is None else environment
    rank = next((found[name] for name in _RANKS if name in found), None)
    if rank is None or not rank.isdigit():
        return None
    count = next((found[name] for name in _SIZES if name in found), "0")
    return int(rank), int(count) if count.isdigit() else 0


def _world() -> Any:
    """All processes, if mpi4py sees those that ``mpiexec`` has started."""
    _, count = started() or (0, 1)
    try:
        module = _module()
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"several processes need mpi4py and an MPI ({error}): pip install "
            f"'fastcnn[distributed]'"
        ) from None
    world = module.COMM_WORLD
    if count > 1 and world.Get_size() == 1:
        library = module.Get_library_version().split("\n")[0]
        raise ValueError(
            f"mpiexec has started {count} processes, and mpi4py's library ({library}) sees one: "
            f"take the mpiexec that belongs to it"
        )
    return world


@functools.cache
def _lifeline() -> Lifeline | None:
    """That of this program; one process needs none."""
    world = _world()
    return Lifeline(world) if world.Get_size() > 1 else None


def found() -> Alone:
    """All processes where ``mpiexec`` has started this one, else this one.

    Raises
    ------
    ValueError
        As `MPI`.
    """
    return Alone() if started() is None else MPI()


def facts_of(settings: Mapping[str, Any], values: NDArray[Any]) -> dict[str, Any]:
    """What must be the same in all processes: settings, data, parameters, code, processor."""
    from .. import __version__

    target = jit.target()
    code = target.register_bytes, target.has_fma, target.tile_rows, target.tile_vectors
    return {
        **settings,
        "version": __version__,
        "kind of processor": code,
        "sum of the parameters": float(values.sum(dtype=np.float64)),
    }
