"""Random numbers by counter and key: the same ones whichever thread asks, in whatever order."""

import numpy as np

from kernels import jit


def key_halves(key: int) -> tuple[np.uint32, np.uint32]:
    """The key 0 <= key < 2**63 as two numbers of 32 bits, low and high."""
    return np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)


@jit.serial
def _mix(h):
    """Scatter the bits of a 32-bit number: a bijection (constants: C. Wellons, "lowbias32")."""
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@jit.serial
def random_bits(counter, low, high):
    """32 random bits for a counter (of which 32 bits count) and a key."""
    return _mix(np.uint32(_mix(np.uint32(np.uint32(counter) + low)) ^ high))
