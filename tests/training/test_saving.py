"""Checkpoints in the middle of an epoch: resumed, the run has the bits of one that was not."""

import re

import numpy as np
import pytest

from fastcnn import Augment, Sequential
from fastcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import Adam
from fastcnn.training.checkpoint import SavedTraining, record_of
from fastcnn.training.progress import Progress

from .test_resuming import edited, go_on

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (22, 1, 8, 8)).astype(np.uint8)
CLASSES = np.arange(22) % 3
NUMBERS = RNG.normal(size=(22, 3))
LABELS = (NUMBERS > 0).astype(np.float32)
STEPS = 3  # of an epoch: 8 + 8 + 6 images
TIMES = ("seconds", "seconds_training")


def network():
    return Sequential(
        Conv2D(1, 4, 3), BatchNorm(4), ReLU(), Flatten(), Dropout(0.3), Dense(144, 3), seed=2
    )


def train(y, model=None, **options):
    model = model or network()
    options = {"epochs": 3, "batch_size": 8, "optimizer": Adam(), "progress": False, **options}
    return model, model.train(IMAGES, y, **options)


class Copies(Progress):
    """Keeps the checkpoint as it is before each step, as a killed process would leave it."""

    def __init__(self, path):
        self.path, self.files = path, []

    def on_step(self, loss):
        self.files.append(self.path.read_bytes())


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (CLASSES, {"ema": 0.9, "augment": Augment(shift=1, mixup=0.3), "validation": 0.2}),
        (CLASSES, {"sample_weight": np.linspace(1, 2, 22), "track_gradients": True}),
        (NUMBERS, {"loss": "mse", "precise_bn": 2, "restore_best": True, "validation": 0.2}),
        (LABELS, {"loss": "bce", "schedule": "onecycle", "test": (IMAGES[:5], LABELS[:5])}),
    ],
    ids=["classes", "weights", "numbers", "labels"],
)
def test_wherever_it_is_killed_it_goes_on_to_the_same_bits(tmp_path, y, options):
    path = tmp_path / "last.npz"
    copies = Copies(path)
    whole, history = train(y, checkpoint_path=path, save_minutes=0, progress=copies, **options)
    steps = len(copies.files) // 3
    assert len(copies.files) == 3 * steps
    for at, content in enumerate(copies.files):
        path.write_bytes(content)
        kept = record_of(SavedTraining(path)).history
        # Epoch and batch: the file is that before this step, of which a finished epoch has none.
        assert kept.epochs * steps + kept.batches == at
        resumed, rest = train(y, resume_from=path, **options)
        for name, array in whole.copy_arrays().items():
            np.testing.assert_array_equal(resumed.copy_arrays()[name], array)
        for column in set(history) - {*TIMES}:
            assert rest[column] == history[column], column
        assert dict(rest.gradients) == dict(history.gradients)
        assert rest.best_epoch == history.best_epoch


def stopped(path, batches):
    """A run that is interrupted after so many batches."""
    steps = iter(range(1, 100))
    return train(CLASSES, checkpoint_path=path, should_stop=lambda: next(steps) == batches)


def test_another_run_is_not_overwritten_within_the_first_epoch(tmp_path):
    path = tmp_path / "last.npz"
    stopped(path, 5)
    before = path.read_bytes()
    assert stopped(path, 2)[1].batches == 0
    assert path.read_bytes() == before
    assert stopped(path, 4)[1].batches == 1  # it has an epoch to show
    assert path.read_bytes() != before


def test_with_other_settings_it_goes_on_from_the_last_epoch(tmp_path):
    path = tmp_path / "last.npz"
    stopped(path, 5)
    _, part = train(CLASSES, resume_from=path, optimizer=Adam(0.01), allow="lr")
    assert part.changes == [{"epoch": 2, "setting": "lr", "before": 0.001, "after": 0.01}]
    assert any("from the end of epoch 1, without the 2 batches" in note for note in part.notes)
    assert part["lr"] == [0.001, 0.01, 0.01]


def test_the_model_of_an_interrupted_run_is_that_of_its_last_epoch(tmp_path):
    path = tmp_path / "last.npz"
    after_one = train(CLASSES, epochs=1)[0].copy_arrays()
    model, _ = stopped(path, 5)
    again, _ = train(CLASSES, resume_from=path, should_stop=lambda: True)
    for name, array in after_one.items():
        np.testing.assert_array_equal(model.copy_arrays()[name], array)
        np.testing.assert_array_equal(again.copy_arrays()[name], array)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": 9}, "it has 9 batches of an epoch of 5"),
        ({"step": 0}, "its unfinished epoch has"),
        ({"images": -1}, "its unfinished epoch has"),
        ({"begun": 1.5}, "its unfinished epoch has"),
        ({"loss": "much"}, "the loss of its unfinished epoch is 'much'"),
        ({"tally": []}, "what an unfinished epoch has counted must be names with values"),
        ({"tally": {}}, "is damaged: 'sums'"),
        ({"tally": {"weight": 1.0, "sums": [1.0, 2.0]}}, "what it has counted is not"),
        ({"tally": {"weight": [[{}]], "sums": [1.0]}}, "'weight' of its unfinished epoch must"),
        ({"norms": {"0.weight": "x"}}, "the '0.weight' of its unfinished epoch must be finite"),
    ],
    ids=str,
)
def test_an_unfinished_epoch_that_cannot_be_is_refused(tmp_path, change, sentence):
    from .test_resuming import X, Y, plain

    path, steps = tmp_path / "last.npz", iter(range(100))
    options = {**plain(), "epochs": 3, "should_stop": lambda: next(steps) == 6}
    Sequential(Dense(3, 2), seed=1).train(X, Y, checkpoint_path=path, **options)
    edited(path, lambda header, _: header["training"]["state"]["part"].update(change))
    with pytest.raises(CheckpointError, match=re.escape(sentence)):
        go_on(path)


def test_arrays_within_an_epoch_that_lack_are_refused(tmp_path):
    path = tmp_path / "last.npz"
    stopped(path, 2)

    def without(_, members):
        for name in [name for name in members if name.startswith("part-model/")]:
            del members[name]

    edited(path, without)
    with pytest.raises(CheckpointError, match="it lacks the arrays within an epoch"):
        train(CLASSES, resume_from=path)
