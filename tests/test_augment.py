"""Affine matrices of augmented images: what they map where."""

import numpy as np
import pytest

from fastcnn.data.augment import Augment


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
     {"crop": 1.0}, {"crop": -0.1}, {"rotate": float("nan")}],
)  # fmt: skip
def test_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)
