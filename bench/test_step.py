"""One training step of each named model: forward, loss, backward, optimizer.

im2col and numba take the batch of the model's author; loop, which would need minutes for that,
is compared with both on a single image.
"""

from collections.abc import Callable

import pytest

import fastcnn
from bench.sides import batch_size, fastcnn_step
from fastcnn import models
from kernels.cores import available_cores

every_model = pytest.mark.parametrize("name", models.names())
Measure = Callable[..., None]


@every_model
@pytest.mark.parametrize("backend", ["im2col", "numba"], indirect=True)
def test_batch(name: str, backend: str, measure: Measure):
    with fastcnn.backend(backend):
        step = fastcnn_step(name, batch_size(name), available_cores())
        measure(f"{name}: training step, batch of {batch_size(name)}", step, batch_size(name))


@every_model
def test_one_image(name: str, backend: str, measure: Measure):
    with fastcnn.backend(backend):
        step = fastcnn_step(name, 1, available_cores())
        measure(f"{name}: training step, one image", step, 1)
