"""Gathering of batches against NumPy, pixel by pixel; moments of a dataset."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels.images import batch

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 37), (1, 3, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
NOWHERE = np.empty((0, 6), np.float32)


class Images:
    """Random images, with a scale and an offset for each channel."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.rng = np.random.default_rng(1)
        self.pixels = self.rng.integers(0, 256, (20, *shape), dtype=np.uint8)
        self.scale = self.rng.uniform(0.5, 2, shape[0]).astype(np.float32) / 255
        self.offset = self.rng.standard_normal(shape[0]).astype(np.float32)

    def gather(
        self, indices: np.ndarray, affine: np.ndarray, dtype: DTypeLike = np.float32
    ) -> np.ndarray:
        _, channels, height, width = self.pixels.shape
        out = np.full((len(indices), height, width, channels), np.nan, dtype)
        batch.gather(self.pixels, indices, self.scale, self.offset, affine, out)
        return out

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) pixels as the batch should hold them."""
        return images.transpose(0, 2, 3, 1) * self.scale.astype(np.float64) + self.offset


def interpolated(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A (C, H, W) image placed by an affine matrix, with zeros around it."""
    _, height, width = image.shape
    a, b, tx, c, d, ty = matrix.astype(np.float64)
    row, column = np.mgrid[:height, :width]
    y, x = a * row + b * column + tx, c * row + d * column + ty
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)

    def pixel(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        return inside * image[:, i.clip(0, height - 1), j.clip(0, width - 1)]

    down, right = y - top, x - left
    upper = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    lower = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return (1 - down) * upper + down * lower


@every_shape
@pytest.mark.parametrize("count", [0, 1, 7, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
def test_images_in_place(shape: tuple[int, int, int], count: int, dtype: DTypeLike):
    images = Images(shape)
    indices = images.rng.integers(0, 20, count)
    got = images.gather(indices, NOWHERE, dtype)
    np.testing.assert_allclose(got, images.normalised(images.pixels[indices]), atol=1e-6)


@every_shape
def test_whole_number_placements_copy_exactly(shape: tuple[int, int, int]):
    """Shifts, by more than the image too, and mirrorings, without a trace of interpolation."""
    images = Images(shape)
    images.scale[:], images.offset[:] = 1, 0
    _, height, width = shape
    count = 64
    affine = np.zeros((count, 6), np.float32)
    rows, columns = images.rng.choice([-1, 1], (2, count))
    affine[:, 0], affine[:, 4] = rows, columns
    affine[:, 2] = images.rng.integers(-height - 1, height + 2, count) + (rows < 0) * (height - 1)
    affine[:, 5] = images.rng.integers(-4, 5, count) + (columns < 0) * (width - 1)
    indices = images.rng.integers(0, 20, count)
    expected = [
        interpolated(images.pixels[i], matrix) for i, matrix in zip(indices, affine, strict=True)
    ]
    got = images.gather(indices, affine)
    np.testing.assert_array_equal(got, np.array(expected).transpose(0, 2, 3, 1))


def test_a_shift_by_hand():
    images = Images((1, 2, 3))
    images.pixels[0, 0] = [[1, 2, 3], [4, 5, 6]]
    images.scale[:], images.offset[:] = 2, 1
    down_and_left = np.array([[1, 0, -1, 0, 1, 1]], np.float32)
    mirrored = np.array([[1, 0, 0, 0, -1, 2]], np.float32)
    first = np.array([0])
    got = images.gather(first, down_and_left)[0, :, :, 0]
    np.testing.assert_array_equal(got, [[1, 1, 1], [5, 7, 1]])
    got = images.gather(first, mirrored)[0, :, :, 0]
    np.testing.assert_array_equal(got, [[7, 5, 3], [13, 11, 9]])


@every_shape
def test_turned_and_stretched_images(shape: tuple[int, int, int]):
    images = Images(shape)
    count = 40
    theta, size = images.rng.uniform(-3, 3, count), images.rng.uniform(0.5, 1.5, count)
    tx, ty = images.rng.uniform(-9, 9, (2, count))
    affine = np.stack(
        [size * np.cos(theta), -np.sin(theta), tx, np.sin(theta), size * np.cos(theta), ty], axis=1
    ).astype(np.float32)
    affine[0, 2] = 1e30  # as far outside as no whole number reaches
    indices = images.rng.integers(0, 20, count)
    got = images.gather(indices, affine)
    affine[0, 2] = 1e6
    expected = np.array(
        [interpolated(images.pixels[i], matrix) for i, matrix in zip(indices, affine, strict=True)]
    )
    # Positions are float32 sums: one is off by 1e-5 pixels, of which a step is worth 2 at most.
    np.testing.assert_allclose(got, images.normalised(expected), atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_channel_moments(count: int):
    images = np.random.default_rng(2).integers(0, 256, (count, 3, 9, 7), dtype=np.uint8)
    mean, std = batch.channel_moments(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_moments_of_equal_pixels_are_exact():
    mean, std = batch.channel_moments(np.full((10, 1, 8, 8), 51, np.uint8))
    assert mean[0] == 0.2
    assert std[0] == 0
