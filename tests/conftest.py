"""What holds for all tests, whichever of them are run."""

import kernels  # noqa: F401 - before any test imports numba, whose threads it reserves
from fastcnn.training import compilation

# Where several tests run at once, every core compiles already.
compilation.uses_helper = False
