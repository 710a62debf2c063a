"""Colours, noise and cut-out squares of a batch against NumPy, number by number."""

from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import jit
from kernels.images import batch, pixels
from kernels.shares import is_small
from kernels.simd import lanes, load_part, mathematics, store_part

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 37), (3, 3, 7), (1, 3, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
NOWHERE = np.empty((0, 6), np.float32)
NO_FACTORS, NO_BOXES = np.empty((0, 3), np.float32), np.empty((0, 4), np.int64)
KEY = 0x1234_5678_9ABC_DEF0


class Images:
    """Random images, with a scale and an offset for each channel."""

    def __init__(self, shape: tuple[int, int, int], count: int = 9) -> None:
        self.rng = np.random.default_rng(1)
        self.pixels = self.rng.integers(0, 256, (20, *shape), dtype=np.uint8)
        self.scale = self.rng.uniform(0.5, 2, shape[0]).astype(np.float32) / 255
        self.offset = self.rng.standard_normal(shape[0]).astype(np.float32)
        self.indices = self.rng.integers(0, 20, count)
        self.factors = self.rng.uniform(0, 2, (count, 3)).astype(np.float32)
        top, left = (self.rng.integers(0, size + 1, (count, 2)) for size in shape[1:])
        self.boxes = np.concatenate([np.sort(top, 1), np.sort(left, 1)], axis=1)

    def gather(
        self, affine=NOWHERE, factors=NO_FACTORS, noise=0.0, boxes=NO_BOXES,
        dtype: DTypeLike = np.float32,
    ) -> np.ndarray:  # fmt: skip
        _, channels, height, width = self.pixels.shape
        out = np.full((len(self.indices), height, width, channels), np.nan, dtype)
        pixels.gather_changed(
            self.pixels, self.indices, self.scale, self.offset, affine, factors, noise, KEY, boxes,
            out,
        )  # fmt: skip
        return out

    def moved(self, affine: np.ndarray) -> np.ndarray:
        """The batch (N, H, W, C) as pixels from 0 to 1, in float64."""
        _, channels, height, width = self.pixels.shape
        out = np.empty((len(self.indices), height, width, channels))
        per_unit = np.full(channels, 1 / 255)
        batch.gather(self.pixels, self.indices, per_unit, np.zeros(channels), affine, out)
        return out

    def twin(self, affine=NOWHERE, factors=NO_FACTORS, noise=0.0, boxes=NO_BOXES) -> np.ndarray:
        """All in float64, one after the other."""
        images = self.moved(affine)
        for n, image in enumerate(images):
            if len(factors):
                b, c, s = factors[n].astype(np.float64)
                stored = self.pixels[self.indices[n]].transpose(1, 2, 0) / 255
                image *= b
                image[:] = c * image + (1 - c) * grey(b * stored).mean()
                if len(self.scale) == 3:
                    image[:] = s * image + (1 - s) * grey(image)[..., None]
                image.clip(0, 1, out=image)
        images += noise * normal(np.arange(images.size)).reshape(images.shape)
        images = images * (255 * self.scale.astype(np.float64)) + self.offset
        for image, (top, bottom, left, right) in zip(images, boxes, strict=False):
            image[top:bottom, left:right] = self.offset
        return images


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W)."""
    return image @ [0.299, 0.587, 0.114] if image.shape[2] == 3 else image.mean(axis=2)


def normal(places: np.ndarray) -> np.ndarray:
    """The numbers that belong to places of the batch, exactly."""

    def mix(h: np.ndarray) -> np.ndarray:
        h = (h ^ (h >> 16)) * 0x7FEB352D % 2**32
        h = (h ^ (h >> 15)) * 0x846CA68B % 2**32
        return h ^ (h >> 16)

    low, high = np.uint64(KEY % 2**32), np.uint64(KEY >> 32)
    bits = mix(mix((places.astype(np.uint64) + low) % 2**32) ^ high)
    probability = ((bits >> 8).astype(np.float64) + 0.5) / 2**24
    return np.array([NormalDist().inv_cdf(p) for p in probability.tolist()])


@every_dtype
@every_shape
def test_colours(shape: tuple[int, int, int], dtype: DTypeLike):
    images = Images(shape)
    got = images.gather(factors=images.factors, dtype=dtype)
    expected = images.twin(factors=images.factors)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@every_dtype
@every_shape
def test_noise(shape: tuple[int, int, int], dtype: DTypeLike):
    images = Images(shape)
    got = images.gather(noise=0.1, dtype=dtype)
    # The quantile is good to 1.4e-4, and a scale is at most 2.
    np.testing.assert_allclose(got, images.twin(noise=0.1), rtol=0, atol=2 * 0.1 * 3e-4)


@every_shape
def test_squares_cut_out_leave_everything_else(shape: tuple[int, int, int]):
    images = Images(shape)
    plain = images.gather()
    expected = plain.copy()
    for image, (top, bottom, left, right) in zip(expected, images.boxes, strict=True):
        image[top:bottom, left:right] = images.offset
    np.testing.assert_array_equal(images.gather(boxes=images.boxes), expected)
    assert (expected != plain).any()


@every_shape
def test_nothing_to_change_is_gathering(shape: tuple[int, int, int]):
    images = Images(shape)
    expected = np.empty_like(images.gather())
    arrays = images.pixels, images.indices, images.scale, images.offset
    batch.gather(*arrays, NOWHERE, expected)
    np.testing.assert_array_equal(images.gather(), expected)


@every_shape
def test_all_together_in_images_that_moved(shape: tuple[int, int, int]):
    images = Images(shape)
    affine = images.rng.uniform(-1.2, 1.2, (9, 6)).astype(np.float32)
    affine[::2] = [1, 0, -1, 0, -1, shape[2]]  # mirrored and shifted
    arguments = (affine, images.factors, 0.05, images.boxes)
    # Positions are float32 sums: one is off by 1e-5 pixels, see test_kernels_batch.
    np.testing.assert_allclose(
        images.gather(*arguments), images.twin(*arguments), rtol=0, atol=1e-3
    )


def test_colours_by_hand():
    images = Images((3, 1, 2), count=1)
    images.pixels[:] = np.uint8([[[51, 204]], [[51, 102]], [[51, 0]]])
    images.scale[:], images.offset[:] = 1 / 255, 0
    stored = [[[[0.2, 0.2, 0.2], [0.8, 0.4, 0.0]]]]
    for factors, expected in [
        ([1, 1, 1], stored),
        ([0.5, 1, 1], [[[[0.1, 0.1, 0.1], [0.4, 0.2, 0]]]]),
        ([2, 1, 1], [[[[0.4, 0.4, 0.4], [1, 0.8, 0]]]]),  # kept within 0 and 1
        ([1, 1, 0], [[[[0.2, 0.2, 0.2], [0.474, 0.474, 0.474]]]]),  # grey
        ([1, 0, 1], np.full((1, 1, 2, 3), 0.337)),  # the mean of 0.2 and 0.474
    ]:
        got = images.gather(factors=np.array([factors], np.float32))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_noise_is_normal_and_independent():
    images = Images((3, 32, 32), count=300)
    images.scale[:], images.offset[:] = 1 / 255, 0
    z = ((images.gather(noise=1.0) - images.gather()).astype(np.float64)).reshape(-1)
    size = z.size
    # Five standard deviations of each estimate.
    assert abs(z.mean()) < 5 / np.sqrt(size)
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * size)
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / size)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / size)
    for distance in (1, 2, 3, 96, 3072):  # neighbours of every kind, and the image after
        assert abs((z[distance:] * z[:-distance]).mean()) < 5 / np.sqrt(size - distance), distance
    share = np.array([(np.abs(z) > limit).mean() for limit in (1, 2, 3, 4)])
    wanted = np.array([2 * NormalDist().cdf(-limit) for limit in (1, 2, 3, 4)])
    assert (np.abs(share - wanted) < 5 * np.sqrt(wanted / size)).all()


def test_noise_is_not_cut_off_at_black():
    images = Images((1, 32, 32), count=100)
    images.pixels[:], images.offset[:] = 0, 0
    got = images.gather(noise=0.2) / (255 * images.scale[0])
    assert abs(got.mean()) < 0.01


def test_noise_depends_on_the_key_and_on_the_place_only():
    images = Images((3, 32, 32), count=200)
    whole = images.gather(noise=0.1)
    assert not is_small(whole.size, work=4)
    images.indices = images.indices[:5]  # done by one thread
    np.testing.assert_array_equal(images.gather(noise=0.1), whole[:5])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int):
    images = Images((3, 32, 32), count=201)
    arguments = (NOWHERE, images.factors, 0.1, images.boxes)
    expected = images.gather(*arguments)
    before = jit.get_threads()
    jit.set_threads(threads)
    try:
        got = images.gather(*arguments)
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(got, expected)


@jit.serial
def logarithms(x, y):
    for i in range(0, x.size, lanes(x)):
        store_part(y, i, mathematics.log(load_part(x, i, x.size - i)), x.size - i)


@every_dtype
def test_logarithm_is_precise_over_the_whole_range(dtype: DTypeLike):
    values = [np.geomspace(1.2e-38, 3.4e38, 30_001), np.linspace(0.4, 2.5, 100_001)]
    x = np.concatenate(values).astype(dtype)
    y = np.full_like(x, 7)
    logarithms(x, y)
    expected = np.log(x.astype(np.longdouble))
    error = np.abs(y - expected) / np.spacing(np.abs(expected.astype(dtype)))
    assert error.max() < 2.5, f"{float(error.max())} units at {x[error.argmax()]}"
