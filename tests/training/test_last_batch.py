"""A last batch of few images throws BatchNorm's running statistics about: left out, or told."""

import numpy as np
import pytest

from fastcnn import Augment, Sequential
from fastcnn.layers import BatchNorm, Dense, Flatten, Residual
from fastcnn.optim import SGD
from fastcnn.training.progress import Progress

NUMBERS = np.random.default_rng(0)
X, Y = NUMBERS.normal(size=(40, 5)).astype(np.float32), np.arange(40) % 3


def network(*, norm: bool = True, inside: bool = False) -> Sequential:
    layers = [Residual([BatchNorm(5)]) if inside else BatchNorm(5)] if norm else []
    return Sequential(*layers, Dense(5, 3), seed=1)


def trained(model: Sequential, count: int, **options):
    options = {"epochs": 2, "batch_size": 8, "optimizer": SGD(0.1), "shuffle": False, **options}
    return model.train(X[:count], Y[:count], **options)


class Steps(Progress):
    def __init__(self) -> None:
        self.told, self.made = [], 0

    def on_epoch_start(self, epoch: int, epochs: int, steps: int) -> None:
        self.told.append(steps)

    def on_step(self, loss: float) -> None:
        self.made += 1


@pytest.mark.parametrize("left_over", [1, 2, 7])
def test_what_is_dropped_leaves_no_trace(left_over):
    whole, dropped, steps = network(), network(), Steps()
    expected = trained(whole, 32)
    history = trained(dropped, 32 + left_over, drop_last=True, progress=steps)
    assert (steps.told, steps.made) == ([4, 4], 8)
    for name in ("loss", "accuracy"):
        assert history[name] == expected[name]
    for name, array in whole.copy_arrays().items():
        np.testing.assert_array_equal(dropped.copy_arrays()[name], array)
    assert history.notes == []


def test_another_share_is_dropped_each_epoch():
    """Shuffled, every image is trained on sooner or later."""
    seen: list[set[int]] = []

    class Marked(Dense):
        def forward(self, x, training=False):
            if training:
                seen[-1].update(np.flatnonzero((x[:, None] == X).all(axis=2).any(axis=0)))
            return super().forward(x, training)

    class Epochs(Progress):
        def on_epoch_start(self, epoch: int, epochs: int, steps: int) -> None:
            seen.append(set())

    model = Sequential(Marked(5, 3), seed=1)
    trained(model, 40, batch_size=16, epochs=6, drop_last=True, shuffle=True, progress=Epochs())
    assert [len(each) for each in seen] == [32] * 6
    assert set().union(*seen) == set(range(40))


@pytest.mark.parametrize(("count", "images"), [(33, "1 image"), (34, "2 images")])
@pytest.mark.parametrize("inside", [True, False])
def test_a_small_last_batch_is_told_once(count, images, inside):
    sentence = (
        f"the last batch of each epoch has {images}, too few for BatchNorm's statistics; "
        f"drop_last leaves it out"
    )
    assert trained(network(inside=inside), count).notes == [sentence]


@pytest.mark.parametrize(("count", "size"), [(9, 1), (1, 8), (1, 1)])
@pytest.mark.parametrize("inside", [True, False])
def test_batches_of_one_image_are_told_once(count, size, inside):
    def told(model):
        return [note for note in trained(model, count, batch_size=size).notes if "each" in note]

    (note,) = told(network(inside=inside))
    assert note.startswith("each batch has 1 image, too few for BatchNorm")
    assert told(network(norm=False)) == []
    still = network(inside=inside)
    still.layers[0].trainable = False
    assert told(still) == []


def test_the_note_is_true():
    """Two images alike but far away: the statistics of the whole are theirs, but for drop_last."""
    x = X[:34].copy()
    x[32:] = 100
    with_them, without = network(), network()
    for model, drop_last in ((with_them, False), (without, True)):
        history = model.train(x, Y[:34], epochs=1, batch_size=8, shuffle=False, drop_last=drop_last)
        assert bool(history.notes) != drop_last
    means = [abs(model.copy_arrays()["0.running_mean"]).max() for model in (with_them, without)]
    assert means[0] > 5 and means[1] < 1


def test_nothing_is_told_where_it_does_not_matter():
    frozen = network()
    frozen.freeze(1)
    for model, count, options in (
        (network(norm=False), 33, {}),
        (frozen, 33, {}),
        (network(), 32, {}),
        (network(), 39, {}),  # 7 of 8
        (network(), 33, {"drop_last": True}),
        (network(), 3, {}),  # the only batch
    ):
        assert trained(model, count, **options).notes == []


def test_drop_last_counts_appended_copies():
    images = np.zeros((5, 1, 4, 4), np.uint8)
    model = Sequential(Flatten(), Dense(16, 2), seed=0)
    options = {"batch_size": 8, "epochs": 1, "drop_last": True}
    model.train(images, Y[:5] % 2, augment=Augment(shift=1, append=1), **options)
    with pytest.raises(ValueError, match="drop_last leaves nothing of 10 images in batches of 11"):
        model.train(
            images, Y[:5] % 2, augment=Augment(shift=1, append=1), **{**options, "batch_size": 11}
        )


def test_drop_last_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="drop_last leaves nothing of 5 images in batches of 8"):
        trained(network(), 5, drop_last=True)
