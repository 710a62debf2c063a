"""A large batch, shared by threads, is computed like the small batches that it is made of."""

import numpy as np
import pytest

from kernels import loss
from kernels.images import batch
from kernels.pool import operations as pool
from kernels.shares import is_small

COUNT = 120  # images, of which a sixth is small
PARTS = [slice(start, start + COUNT // 6) for start in range(0, COUNT, COUNT // 6)]
rng = np.random.default_rng(0)


def max_pool(x: np.ndarray) -> list[np.ndarray]:
    y = np.empty((len(x), 14, 14, 2), x.dtype)
    index, dx = np.empty(y.shape, np.uint8), np.empty_like(x)
    pool.max_pool_forward(x, (2, 2), (2, 2), (0, 0), y, index)
    pool.max_pool_backward(y, index, (2, 2), (2, 2), (0, 0), dx)
    return [y, index, dx]


def average_pool(x: np.ndarray) -> list[np.ndarray]:
    y, dx = np.empty((len(x), 26, 26, 2), x.dtype), np.empty_like(x)
    pool.average_pool_forward(x, (3, 3), (1, 1), (0, 0), True, y)
    pool.average_pool_backward(y, (3, 3), (1, 1), (0, 0), True, dx)
    return [y, dx]


def gather(x: np.ndarray) -> list[np.ndarray]:
    images = (x.transpose(0, 3, 1, 2) * 10 + 100).astype(np.uint8)
    out = np.empty_like(x)
    scale, offset = np.array([0.5, 0.25], np.float32), np.array([1, 2], np.float32)
    batch.gather(images, np.arange(len(x)), scale, offset, np.empty((0, 6), np.float32), out)
    return [out]


def cross_entropy(x: np.ndarray) -> list[np.ndarray]:
    logits = np.ascontiguousarray(x.reshape(len(x), -1)[:, :1000])
    losses, dlogits = np.empty(len(x), x.dtype), np.empty_like(logits)
    loss.softmax_cross_entropy(logits, np.zeros(len(x), np.int64), 1.0, 0.1, losses, dlogits)
    return [losses, dlogits]


@pytest.mark.parametrize("operation", [max_pool, average_pool, gather, cross_entropy])
def test_whole_and_parts(operation):
    x = rng.standard_normal((COUNT, 28, 28, 2)).astype(np.float32)
    assert not is_small(x.size)
    assert is_small(x[PARTS[0]].size)
    parts = zip(*(operation(np.ascontiguousarray(x[part])) for part in PARTS), strict=True)
    for whole, part in zip(operation(x), parts, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(part))
