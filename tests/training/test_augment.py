"""Affine matrices of augmented images, and what else is drawn; batches made with them."""

import numpy as np
import pytest

from fastcnn import Augment
from fastcnn.random import generator
from fastcnn.training.batches import Batches
from fastcnn.training.mixing import draw, rows_of
from kernels import jit
from kernels.cores import available_cores


def matrices(augment: Augment, count: int = 200, size=(28, 28), seed: int = 0) -> np.ndarray:
    return augment.matrices(count, size, np.random.default_rng(seed)).reshape(count, 2, 3)


def source(matrix: np.ndarray, row: float, column: float) -> np.ndarray:
    return matrix.astype(np.float64) @ [row, column, 1]


def test_nothing_is_the_identity():
    assert not Augment()
    got = matrices(Augment(), 3)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (3, 1, 1)))


def test_shift_is_whole_and_reaches_every_place():
    got = matrices(Augment(shift=2))
    np.testing.assert_array_equal(got[:, :, :2], np.tile(np.eye(2), (200, 1, 1)))
    assert {tuple(place) for place in got[:, :, 2]} == {
        (row, column) for row in range(-2, 3) for column in range(-2, 3)
    }


def test_flip_mirrors_about_half():
    got = matrices(Augment(flip=True))
    mirrored = got[:, 1, 1] == -1
    assert 70 < mirrored.sum() < 130
    for matrix in got[mirrored]:
        np.testing.assert_array_equal(source(matrix, 5, 3), [5, 24])
    for matrix in got[~mirrored]:
        np.testing.assert_array_equal(source(matrix, 5, 3), [5, 3])


@pytest.mark.parametrize("size", [(28, 28), (11, 32)])
def test_rotation_keeps_the_centre_and_distances(size):
    got = matrices(Augment(rotate=10), size=size)
    centre = (np.array(size) - 1) / 2
    angles = []
    for matrix in got:
        np.testing.assert_allclose(source(matrix, *centre), centre, atol=1e-5)
        arm = source(matrix, centre[0], centre[1] + 4) - centre
        np.testing.assert_allclose(np.hypot(*arm), 4, atol=1e-5)
        angles.append(np.rad2deg(np.arctan2(arm[0], arm[1])))
    assert max(np.abs(angles)) <= 10 + 1e-4
    assert min(angles) < -8
    assert max(angles) > 8


def test_crop_stays_inside_and_keeps_most():
    for matrix in matrices(Augment(crop=0.25), size=(20, 30)):
        first, last = source(matrix, 0, 0), source(matrix, 19, 29)
        assert (first >= -1e-5).all()
        assert (last <= np.array([19, 29]) + 1e-5).all()
        assert ((last - first) / [19, 29] >= 0.75 - 1e-6).all()


def test_crop_reaches_the_corners():
    windows = np.array([source(m, 0, 0) for m in matrices(Augment(crop=0.5), 2000)])
    assert (windows.min(axis=0) < 0.5).all()
    assert np.abs(np.corrcoef(windows.T)[0, 1]) < 0.6  # both grow with the crop, no more


def test_kinds_do_not_disturb_each_other():
    alone = matrices(Augment(shift=2))
    mirrored = matrices(Augment(shift=2, flip=True))
    same = mirrored[:, 1, 1] == 1
    np.testing.assert_array_equal(alone[same], mirrored[same])


@pytest.mark.parametrize(
    "wrong",
    [{"shift": -1}, {"shift": 1.5}, {"shift": True}, {"rotate": -1}, {"rotate": 200},
     {"crop": 1.0}, {"crop": -0.1}, {"rotate": float("nan")}, {"cutout": -1}, {"cutout": 2.5},
     {"cutout": float("inf")}, {"brightness": 1.5}, {"contrast": -0.1}, {"saturation": 2},
     {"noise": float("nan")}, {"noise": -0.1}, {"mixup": -1}, {"cutmix": float("nan")},
     {"mixup": float("inf")}, {"append": 1, "mixup": 1.0}],
)  # fmt: skip
def test_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)


def test_factors_reach_from_below_to_above():
    factors = Augment(brightness=0.5, saturation=1).factors(2000, np.random.default_rng(0))
    assert factors.dtype == np.float32
    assert ((factors >= [0.5, 1, 0]) & (factors <= [1.5, 1, 2])).all()
    np.testing.assert_allclose(factors.min(axis=0), [0.5, 1, 0], atol=0.01)
    np.testing.assert_allclose(factors.max(axis=0), [1.5, 1, 2], atol=0.01)


@pytest.mark.parametrize("side", [1, 2, 5, 50])
@pytest.mark.parametrize("size", [(28, 28), (11, 32)])
def test_boxes_lie_inside_about_every_pixel(side: int, size: tuple[int, int]):
    boxes = Augment(cutout=side).boxes(20_000, size, np.random.default_rng(0))
    top, bottom, left, right = boxes.T
    assert ((top >= 0) & (bottom <= size[0]) & (left >= 0) & (right <= size[1])).all()
    assert (bottom > top).all() and (right > left).all()
    whole = (bottom - top == side) & (right - left == side)
    # A square of side S is whole about (height - S + 1) * (width - S + 1) of the pixels.
    expected = max(size[0] - side + 1, 0) * max(size[1] - side + 1, 0) / (size[0] * size[1])
    assert abs(whole.mean() - expected) < 0.02
    for middle, extent in (((top + bottom) / 2, size[0]), ((left + right) / 2, size[1])):
        assert abs(middle.mean() - extent / 2) < 0.75


IMAGES = np.random.default_rng(3).integers(0, 256, (40, 3, 12, 10), dtype=np.uint8)
MOVES = {"shift": 2, "flip": True}


def batch(images: np.ndarray = IMAGES, epoch: int = 1, step: int = 0, **kinds) -> np.ndarray:
    channels = images.shape[1]
    normalization = np.full(channels, 1 / 255, np.float32), np.zeros(channels, np.float32)
    batches = Batches(images, 40, normalization, Augment(**kinds), seed=5)
    return batches.load(np.arange(40), epoch, step).copy()


def test_squares_are_cut_out_of_otherwise_equal_images():
    """Switching cutout, colours or noise on leaves the other kinds as they were."""
    for others in (MOVES, {**MOVES, "rotate": 5}, {"noise": 0.1}, {"contrast": 0.3}):
        plain, cut = batch(**others), batch(**others, cutout=4)
        differs = plain != cut
        np.testing.assert_array_equal(cut[differs], 0)
        assert 0.05 < differs.mean() < 16 / 120


def test_noise_comes_on_top_of_otherwise_equal_images():
    for others in (MOVES, {"brightness": 0.3, "saturation": 0.5}):
        added = batch(**others, noise=0.1) - batch(**others)
        np.testing.assert_allclose(added, batch(noise=0.1) - batch(), atol=1e-6)
        assert abs(added.std() / 0.1 - 1) < 0.03


def test_one_colour_leaves_the_others_as_they_were():
    augments = Augment(contrast=0.3), Augment(contrast=0.3, brightness=0.2, saturation=0.1)
    alone, all_three = (a.factors(9, np.random.default_rng(0)) for a in augments)
    np.testing.assert_array_equal(alone[:, 1], all_three[:, 1])


def test_every_step_has_numbers_of_its_own():
    kinds = {"brightness": 0.3, "noise": 0.1, "cutout": 4}
    first = batch(**kinds)
    np.testing.assert_array_equal(batch(**kinds), first)
    for other in ({"epoch": 2}, {"step": 1}):
        for name, amount in kinds.items():
            assert (batch(**{name: amount}) != batch(**{name: amount}, **other)).any(), name


def test_grey_images_have_brightness_but_no_saturation():
    grey = IMAGES[:, :1]
    assert (batch(grey, brightness=0.3, contrast=0.3, noise=0.1, cutout=3) != batch(grey)).any()
    with pytest.raises(ValueError, match="saturation needs images of 3 channels"):
        batch(grey, saturation=0.1)


def test_batches_in_either_order_of_axes():
    kinds = {"saturation": 0.4, "noise": 0.1, "cutout": 3}
    normalization = np.full(3, 1 / 255, np.float32), np.zeros(3, np.float32)
    last = Batches(
        np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)), 40, normalization, Augment(**kinds),
        channels_last=True, seed=5,
    ).load(np.arange(40), 1, 0)  # fmt: skip
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), batch(**kinds))


KINDS = [
    {}, {"shift": 3, "flip": True}, {"rotate": 20, "crop": 0.2}, {"noise": 0.2}, {"cutout": 5},
    {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}, {"mixup": 0.4}, {"cutmix": 1.0},
    {"shift": 2, "rotate": 9, "brightness": 0.4, "contrast": 0.4, "noise": 0.1, "cutout": 4},
]  # fmt: skip


@pytest.mark.parametrize("kinds", KINDS, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_float_images_change_like_pixels(kinds, channels):
    images = IMAGES[:, :channels]
    kinds = {name: amount for name, amount in kinds.items() if name != "saturation" or channels > 2}
    for dtype in (np.float32, np.float64):
        got = batch((images / 255).astype(dtype), **kinds)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, batch(images, **kinds), atol=2e-6)


def test_float_images_are_moved_exactly():
    """Whatever their numbers are: a shift only copies."""
    images = np.random.default_rng(0).normal(size=(40, 2, 9, 8)).astype(np.float32) * 100
    got = batch(images, shift=2, flip=True)
    numbers = generator(5, "augment", 1, 0)
    matrices = Augment(shift=2, flip=True).matrices(40, (9, 8), numbers).reshape(40, 2, 3)
    for image, original, matrix in zip(got, images, matrices, strict=True):
        for row in range(9):
            for column in range(8):
                i, j = (matrix @ [row, column, 1]).astype(int)
                inside = 0 <= i < 9 and 0 <= j < 8
                expected = original[:, i, j] if inside else 0
                np.testing.assert_array_equal(image[:, row, column], expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_float_images_have_the_same_bits_on_any_threads(threads):
    images = np.random.default_rng(0).random((40, 3, 24, 24), np.float32)
    kinds = {"rotate": 9, "contrast": 0.4, "noise": 0.1, "cutmix": 1.0}
    before = jit.get_threads()
    try:
        jit.set_threads(min(threads, available_cores()))
        got = batch(images, **kinds)
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(got, batch(images, **kinds))


def test_what_float_images_do_not_allow():
    floats = 2 * np.random.default_rng(0).random((40, 3, 8, 8))
    assert batch(floats, noise=0.1, rotate=3).shape == floats.shape
    with pytest.raises(ValueError, match=r"need pixels: uint8, or floats from 0 .black. to 1 "):
        batch(floats, brightness=0.1)
    for kinds in ({"shift": 1}, {"noise": 0.1}, {"cutmix": 1.0}):
        with pytest.raises(ValueError, match=r"augment needs images \(N, C, H, W\), got shape"):
            Batches(floats[:, 0, 0], 40, (np.ones(1), np.zeros(1)), Augment(**kinds))


# --- mixing -------------------------------------------------------------------------------------


def test_mixup_adds_pairs_and_their_targets():
    floats = np.random.default_rng(0).normal(size=(40, 7))
    batches = Batches(floats, 40, (np.ones(1), np.zeros(1)), Augment(mixup=0.5), seed=5)
    got = batches.load(np.arange(40), 1, 0)
    partner, share, boxes = batches.mixing
    assert sorted(partner) == list(range(40)) and boxes is None
    assert ((share >= 0) & (share <= 1)).all() and len(set(share)) == 40
    expected = share[:, None] * floats + (1 - share)[:, None] * floats[partner]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(batches.mixing.of(floats), expected, rtol=1e-12, atol=1e-15)
    weights = floats[:, 0]
    np.testing.assert_allclose(batches.mixing.of(weights), expected[:, 0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("channels_last", [False, True])
def test_cutmix_shares_are_what_is_left_of_an_image(channels_last):
    floats = np.random.default_rng(0).random((40, 3, 12, 10))
    given = floats.transpose(0, 2, 3, 1) if channels_last else floats
    batches = Batches(
        given, 40, (np.ones(3), np.zeros(3)), Augment(cutmix=1.0), channels_last, np.float64, 5
    )
    got = batches.load(np.arange(40), 1, 0)
    got = got.transpose(0, 3, 1, 2) if channels_last else got
    partner, share, boxes = batches.mixing
    for n, (top, bottom, left, right) in enumerate(boxes):
        expected = floats[n].copy()
        expected[:, top:bottom, left:right] = floats[partner[n], :, top:bottom, left:right]
        np.testing.assert_array_equal(got[n], expected)
        assert share[n] == pytest.approx(1 - (bottom - top) * (right - left) / 120)


def test_shares_are_drawn_from_the_beta_law():
    random = np.random.default_rng(0)
    share = draw(Augment(mixup=0.4), 50_000, (1, 1), random).share
    assert share.mean() == pytest.approx(0.5, abs=0.01)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.02)
    kinds = [draw(Augment(mixup=1, cutmix=1), 2, (9, 9), random).boxes is None for _ in range(400)]
    assert 150 < sum(kinds) < 250


def test_class_numbers_become_rows():
    np.testing.assert_array_equal(rows_of(np.array([2, 0]), 3, np.float32), [[0, 0, 1], [1, 0, 0]])
    assert rows_of(np.eye(3), 3, np.float32).dtype == np.float32
