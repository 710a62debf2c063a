"""Threads that take themselves for the processes of an MPI program: what `MPI` asks of mpi4py."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _Meeting:
    """Where each leaves something for all others."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)
        self.left: list[Any] = [None] * count
        self.came = threading.Condition(threading.RLock())
        self.letters: dict[tuple[int, int, int], list[np.ndarray]] = {}  # from, to, tag


class _Request:
    """A message that was begun, into an array; None: one that is sent."""

    def __init__(self, meeting: _Meeting, key: tuple[int, int, int], into: np.ndarray | None):
        self._meeting, self._key, self._into = meeting, key, into

    def Test(self) -> bool:
        with self._meeting.came:
            letters = self._meeting.letters.get(self._key)
            if self._into is not None and letters:
                self._into[...] = letters.pop(0)
                self._into = None
            return self._into is None

    def Wait(self) -> None:
        with self._meeting.came:
            self._meeting.came.wait_for(self.Test)


class Comm:
    """A communicator of threads."""

    def __init__(self, rank: int, meeting: _Meeting) -> None:
        self._rank, self._meeting = rank, meeting

    def Get_size(self) -> int:
        return len(self._meeting.left)

    def Get_rank(self) -> int:
        return self._rank

    def Dup(self) -> "Comm":
        return self

    def allgather(self, value: Any) -> list[Any]:
        self._meeting.barrier.wait()
        self._meeting.left[self._rank] = value.copy() if isinstance(value, np.ndarray) else value
        self._meeting.barrier.wait()
        return list(self._meeting.left)

    def bcast(self, value: Any) -> Any:
        return self.allgather(value)[0]

    def Bcast(self, row: np.ndarray) -> None:
        row[...] = self.bcast(row)

    def Allgather(self, mine: np.ndarray, everybody: np.ndarray) -> None:
        everybody[...] = self.allgather(mine)

    def Allgatherv(self, mine: np.ndarray, whole: list[Any]) -> None:
        parts = self.allgather(mine)
        assert [part.size for part in parts] == whole[1]
        whole[0][...] = np.concatenate(parts)

    def Sendrecv(
        self, mine: np.ndarray, to: int, recvbuf: np.ndarray, source: int, recvtag: int
    ) -> None:
        recvbuf[...] = self.allgather(mine)[source]

    def Isend(self, mine: np.ndarray, to: int, tag: int) -> _Request:
        key = self._rank, to, tag
        with self._meeting.came:
            self._meeting.letters.setdefault(key, []).append(mine.copy())
            self._meeting.came.notify_all()
        return _Request(self._meeting, key, None)

    def Irecv(self, into: np.ndarray, source: int, tag: int) -> _Request:
        return _Request(self._meeting, (source, self._rank, tag), into)


def together(count: int, work: Callable[[Comm], Any]) -> list[Any]:
    """What each of so many threads gets from its work; what one raises is raised."""
    meeting, results = _Meeting(count), [None] * count
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(Comm(rank, meeting))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [each for each in errors if not isinstance(each, threading.BrokenBarrierError)]
    if real or errors:
        raise (real or errors)[0]
    return results
