"""What holds for all tests, whichever of them are run."""

import kernels  # noqa: F401 - before any test imports numba, whose threads it reserves
