"""Changed copies that are appended to the training images."""

from typing import Any

import numpy as np
import pytest

from fastcnn import Augment, Sequential
from fastcnn.layers import Dense, Flatten
from fastcnn.optim import SGD
from fastcnn.training.appended import appended

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("channels_last", [False, True])
def test_copies_are_changed_and_the_images_are_not(channels_last):
    x = RNG.integers(0, 256, (300, 3, 5, 7), np.uint8)
    rows = np.flatnonzero(np.arange(300) % 4)
    given = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if channels_last else x
    augment = Augment(flip=True, append=2)
    images, source = appended(given, rows, augment, channels_last=channels_last, seed=1)
    if channels_last:
        images = images.transpose(0, 3, 1, 2)
    assert images.dtype == np.uint8 and source.tolist() == rows.tolist() * 3
    own, *copies = images.reshape(3, len(rows), 3, 5, 7)
    assert (own == x[rows]).all()
    is_mirrored = []
    for copy in copies:  # each image as it was, or its mirror image; differently in each copy
        same, mirrored = ((copy == each).all(axis=(1, 2, 3)) for each in (own, own[..., ::-1]))
        assert (same ^ mirrored).all() and 60 < mirrored.sum() < 165
        is_mirrored.append(mirrored)
    assert (is_mirrored[0] != is_mirrored[1]).any()


def test_pixels_stay_pixels():
    x = np.full((10, 1, 6, 6), 250, np.uint8)
    augment = Augment(noise=0.5, append=1)
    images, _ = appended(x, np.arange(10), augment, channels_last=False, seed=1)
    noisy = images[10:].astype(float)
    assert noisy.min() < 200 and noisy.max() == 255 and len(np.unique(noisy)) > 100


def network(seed: int = 3) -> Sequential:
    return Sequential(Flatten(), Dense(30, 10), seed=seed, input_shape=(1, 5, 6))


def test_training_is_that_of_the_appended_images(capsys):
    x = RNG.integers(0, 256, (40, 1, 5, 6), np.uint8)
    y, augment = np.arange(40) % 10, Augment(shift=1, append=2)
    model, by_hand = network(), network()
    model.train(x, y, epochs=2, batch_size=16, optimizer=SGD(0.1), augment=augment, progress=True)
    assert "120 images: 40, and 2 changed copies of each" in capsys.readouterr().out
    images, source = appended(x, np.arange(40), augment, channels_last=False, seed=3)
    by_hand.train(images, y[source], epochs=2, batch_size=16, optimizer=SGD(0.1))
    for name, array in model.named_arrays():
        assert (array == dict(by_hand.named_arrays())[name]).all()


def test_a_resumed_run_has_the_same_copies(tmp_path):
    x, y = RNG.integers(0, 256, (40, 1, 5, 6), np.uint8), np.arange(40) % 10
    settings: dict[str, Any] = {"batch_size": 16, "augment": Augment(rotate=20, append=1)}
    whole, first, second = network(), network(), network(seed=3)
    whole.train(x, y, epochs=3, validation=0.2, optimizer=SGD(0.1), **settings)
    file = tmp_path / "last.npz"
    first.train(
        x, y, epochs=2, validation=0.2, checkpoint_path=file, optimizer=SGD(0.1), **settings
    )
    second.train(x, y, epochs=3, validation=0.2, resume_from=file, optimizer=SGD(0.1), **settings)
    for name, array in whole.named_arrays():
        assert (array == dict(second.named_arrays())[name]).all()
    settings["augment"] = Augment(rotate=20, append=2)
    with pytest.raises(ValueError, match="append"):
        second.train(
            x, y, epochs=4, validation=0.2, resume_from=file, optimizer=SGD(0.1), **settings
        )


@pytest.mark.parametrize("wrong", [{"append": 1}, {"append": -1}, {"append": 1.5}])
def test_copies_that_mean_nothing(wrong):
    with pytest.raises(ValueError, match="append"):
        Augment(**wrong)


def test_numbers_cannot_be_appended():
    with pytest.raises(ValueError, match="append needs uint8 images"):
        network().train(
            RNG.random((20, 1, 5, 6), np.float32), np.arange(20) % 10,
            augment=Augment(shift=1, append=1),
        )  # fmt: skip
