"""Gradients travel between processes while the rest of the way back is computed: `Travelling`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from kernels.workspace import Workspace

_LEAST = 1 << 15  # bytes: smaller arrays go together, for each message costs some microseconds


@dataclass
class _Traveller:
    """An array, of which the partner's comes; ``distance`` says which partner it is."""

    array: NDArray[Any]
    other: NDArray[Any]
    tag: int
    distance: int = 1
    requests: list[Any] = field(default_factory=list)


class Travelling:
    """Sums over all processes that are begun and, when all that can be done meanwhile is, ended.

    They are those of `fastcnn.training.parallel.MPI`, pairs and pairs of pairs: the same bits.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        Of the processes. Messages of others have the tag 0.
    """

    def __init__(self, communicator: Any) -> None:
        self._comm, self._rank = communicator, communicator.Get_rank()
        self._processes = communicator.Get_size()
        self._room = Workspace()
        self._under_way: list[_Traveller] = []

    def begin(self, array: NDArray[Any]) -> None:
        """Begin to add this array, if it is large, and go on with those before.

        A layer in others may be told of twice: by itself, and as a part of them.
        """
        known = {_address(each.array) for each in self._under_way}
        if array.nbytes >= _LEAST and _address(array) not in known:
            tag = 1 + len(self._under_way)
            other = self._room.array(str(tag), array.shape, array.dtype)
            self._under_way.append(_Traveller(array, other, tag))
            self._send(self._under_way[-1])
        for each in self._under_way:
            if each.requests and all(request.Test() for request in each.requests):
                self._arrived(each)

    def _send(self, each: _Traveller) -> None:
        partner = self._rank ^ each.distance
        each.requests = [
            self._comm.Irecv(each.other, partner, each.tag),
            self._comm.Isend(each.array, partner, each.tag),
        ]

    def _arrived(self, each: _Traveller) -> None:
        """Add what has come, and send the sum to the next partner if there is one."""
        each.array += each.other
        each.distance *= 2
        each.requests = []
        if each.distance < self._processes:
            self._send(each)

    def rest(self, flat: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """What there is in a flat array between those that are under way."""
        begin = _address(flat)
        places = sorted(
            ((_address(each.array) - begin) // flat.itemsize, each.array.size)
            for each in self._under_way
            if begin <= _address(each.array) < begin + flat.nbytes
        )
        at = 0
        for place, size in [*places, (flat.size, 0)]:
            if place > at:
                yield flat[at:place]
            at = place + size

    def end(self) -> None:
        """Wait for all that are under way."""
        while any(each.requests for each in self._under_way):
            for each in self._under_way:
                if each.requests:
                    for request in each.requests:
                        request.Wait()
                    self._arrived(each)
        self._under_way.clear()


def _address(array: NDArray[Any]) -> int:
    return array.__array_interface__["data"][0]
