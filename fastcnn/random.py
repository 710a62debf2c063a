"""Random numbers by name instead of by order.

Every random choice is made by its own generator, keyed by a seed, a purpose and counters such as
epoch and step. What a key gives depends on nothing else: not on the number of threads, not on what
was drawn before, so an interrupted run continues with the same numbers without storing any state.

Examples
--------
>>> from fastcnn.random import generator
>>> first = generator(42, "shuffle", 3).permutation(1000)
>>> bool((first == generator(42, "shuffle", 3).permutation(1000)).all())
True
"""

import hashlib

import numpy as np


def _digest(seed: int, purpose: str, counters: tuple[int | str, ...], size: int) -> int:
    """`size` bytes of the BLAKE2b hash of the key."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"a seed must be a whole number, got {seed!r}")
    plain = [counter if isinstance(counter, str) else int(counter) for counter in counters]
    text = repr((int(seed), purpose, *plain))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "little")


def key(seed: int, purpose: str, *counters: int | str) -> int:
    """A whole number from 0 to 2**63 - 1 that is as good as random for every different key.

    Kernels that make their own random numbers (dropout) are given such a number.

    Raises
    ------
    TypeError
        If `seed` is not a whole number.
    """
    return _digest(seed, purpose, counters, 8) >> 1


def generator(seed: int, purpose: str, *counters: int | str) -> np.random.Generator:
    """NumPy's counter-based generator Philox, keyed by all arguments.

    Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).

    Raises
    ------
    TypeError
        If `seed` is not a whole number.
    """
    return np.random.Generator(np.random.Philox(key=_digest(seed, purpose, counters, 16)))
