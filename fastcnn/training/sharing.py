"""Data that the processes of one host have once in memory: `once_per_host`."""

import mmap
import os
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")

_BORDER = 64  # bytes: arrays begin where a cache line does


def once_per_host(host: Any, load: Callable[[], _Value]) -> _Value:
    """What ``load`` gives one process of each host; all have its arrays in the same memory.

    Whoever writes into them gets a copy of what he changes.

    Parameters
    ----------
    host : mpi4py.MPI.Comm
        Of the processes of this host, all of which call this.
    load : function
        Its result can be pickled. Where memory cannot be shared so, each process calls it.

    Raises
    ------
    OSError
        If there is no room for the arrays.
    """
    if host.Get_size() == 1:
        return load()
    own: list[_Value] = []
    if host.Get_rank():
        content, places, name = host.bcast(None)
        file = _opened(name)
    else:
        own, buffers = [load()], []
        content = pickle.dumps(own[0], protocol=5, buffer_callback=buffers.append)
        file, places = _written([buffer.raw() for buffer in buffers])
        host.bcast((content, places, None if file is None else (os.getpid(), file)))
    try:
        shared = all(host.allgather(file is not None))  # and open until all have it
        if not shared or file is None:
            return own[0] if own else load()
        memory = memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_COPY))
    finally:
        if file is not None:
            os.close(file)
    return pickle.loads(content, buffers=[memory[first:last] for first, last in places])


def _written(buffers: list[memoryview]) -> tuple[int | None, list[tuple[int, int]]]:
    """A file in memory with these in it, and where; None where there is no such thing."""
    places, end = [], 0
    for buffer in buffers:
        begin = -(-end // _BORDER) * _BORDER
        end = begin + buffer.nbytes
        places.append((begin, end))
    if not hasattr(os, "memfd_create"):
        return None, places
    number = os.memfd_create("data")
    try:
        with open(number, "wb", closefd=False) as file:
            file.truncate(max(end, 1))
            for buffer, (begin, _) in zip(buffers, places, strict=True):
                file.seek(begin)
                file.write(buffer)
    except BaseException:
        os.close(number)
        raise
    return number, places


def _opened(name: tuple[int, int] | None) -> int | None:
    """The file that another process of this host has open."""
    try:
        return None if name is None else os.open("/proc/{}/fd/{}".format(*name), os.O_RDONLY)
    except OSError:
        return None
