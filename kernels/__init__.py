"""Convolution, pooling, dense and training kernels: arrays and ints in, arrays out.

Three backends share their signatures: `loop` (the readable specification), `im2col` (vectorised
NumPy) and `compiled` (Numba on the register tile). See README.md in this folder.
"""

from kernels.cores import avoid_sve, reserve_threads

__fastcnn__ = "0.1.0"  # fastcnn tells its own `kernels` from other distributions' by this

reserve_threads()
avoid_sve()
