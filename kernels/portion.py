"""Which images of a batch this process computes, and how sums over the whole batch are formed.

A batch is cut into chunks of images, whose number depends on the batch only. The sums of the
chunks are added in pairs, pairs of pairs, and so on: a binary tree that is the same for any number
of threads, and of processes too where each of them has a branch of it (`fastcnn.training.parallel`
has the `Portion` for that). So the bits are the same.
"""

import functools
from collections.abc import Iterable

import numpy as np

MAX_CHUNKS = 16  # leaves of the tree
_LEAST_CHUNKS = 4  # where their sums are large
_SUMS = 10_000_000  # bytes of all sums that may be written and read again


def chunks_of(items: int) -> int:
    """Number of chunks into which a loop over ``items`` is cut: depends on ``items`` only."""
    return max(1, min(items, MAX_CHUNKS))


def chunks_with_sums(images: int, size: int) -> int:
    """Number of chunks of a batch if each of them writes sums of so many bytes.

    Many filters on small images have more to write than to compute: then there are fewer chunks,
    though threads without one are idle. It depends on shapes only.
    """
    chunks = MAX_CHUNKS
    while chunks > _LEAST_CHUNKS and chunks * size > _SUMS:
        chunks //= 2
    return min(chunks, chunks_of(images))


@functools.lru_cache(maxsize=1000)
def cut(items: int, chunks: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """Where chunks begin, and where the last of them ends: int64, counted from the first one."""
    last = chunks if last is None else last
    return np.array([items * i // chunks - items * first // chunks for i in range(first, last + 1)])


def add_tree(each: np.ndarray) -> np.ndarray:
    """The sum of the chunks in each[0], each[1], ..., which is then in each[0] too."""
    step = 1
    while step < len(each):
        each[: len(each) - step : 2 * step] += each[step :: 2 * step]
        step *= 2
    return each[0]


class Portion:
    """All images of a batch: nobody else computes a part of it."""

    processes = 1
    """How many processes have a part of each batch."""

    def share(self, images: int) -> slice:
        """Which images of the batch that comes next this process computes."""
        return slice(0, images)

    def images(self, here: int) -> int:
        """How many images the batch has, of which so many are here."""
        return here

    @property
    def begins(self) -> int:
        """The first image of the batch that is here."""
        return 0

    def borders(self, here: int, chunks: int) -> np.ndarray:
        """Where this process's chunks begin among its images, and where the last one ends."""
        return cut(here, chunks)

    def image_borders(self, here: int) -> np.ndarray:
        """`borders` where each image may be a chunk."""
        return self.borders(here, chunks_of(self.images(here)))

    def splits(self, chunks: int) -> bool:
        """Whether each process has whole chunks, if there are so many."""
        return True

    def whole(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Arrays (N, ...) of the whole batch, of those that each process has for its images."""
        return arrays

    def first(self, row: np.ndarray) -> np.ndarray:
        """What the first image's process has."""
        return row

    def totals(self, sums: np.ndarray, chunks: int) -> int:
        """Add those of all chunks where some are elsewhere; gives how many are left to be added.

        sums : (chunks * ...,), of which the first part becomes the total
        """
        return chunks

    def blocks(self, count: int) -> tuple[int, int]:
        """First block, and the one after the last, of those that this process computes."""
        return 0, count

    def computed(self, gradients: Iterable[np.ndarray]) -> None:
        """Told gradients that this process has computed, while others are still to be."""

    def settle(self, *totals: np.ndarray) -> None:
        """Told gradients that are those of the whole batch, and are not to be added once more."""


WHOLE = Portion()
