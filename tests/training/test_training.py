"""The training loop: what it computes, when it stops, and that a resumed run has the same bits."""

import itertools
import math

import numpy as np
import pytest

from fastcnn import Sequential, backend, datasets
from fastcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import SGD, Adam, Lookahead, Ranger
from fastcnn.schedules import CosineAnnealing, OneCycle, StepDecay, Warmup
from fastcnn.training.augment import Augment
from fastcnn.training.fit import TrainingDiverged, split
from fastcnn.training.progress import Progress


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    return data.x_train[:200, :, ::2, ::2].copy(), data.y_train[:200]


@pytest.fixture
def blobs():
    """Two classes that a straight line parts."""
    numbers = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = numbers.normal(size=(60, 2)).astype(np.float32) + 4 * y[:, None].astype(np.float32)
    return x, y


def small_cnn(seed: int = 42, dropout: float = 0.25, **options) -> Sequential:
    return Sequential(
        Conv2D(1, 4, 3, padding=1),
        BatchNorm(4),
        ReLU(),
        MaxPool2D(2),
        Flatten(),
        Dropout(dropout),
        Dense(4 * 7 * 7, 10),
        seed=seed,
        **options,
    )


def line(seed: int = 42) -> Sequential:
    return Sequential(Dense(2, 2), seed=seed)


def arrays(model: Sequential) -> dict[str, np.ndarray]:
    return model.copy_arrays()


def assert_same_bits(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


class Recorder(Progress):
    def __init__(self):
        self.calls = []

    def on_epoch_start(self, epoch, epochs, steps):
        self.calls.append(("start", epoch, epochs, steps))

    def on_step(self, loss):
        self.calls.append(("step", loss))

    def on_epoch_end(self, row):
        self.calls.append(("end", row["epoch"]))

    def on_note(self, note):
        self.calls.append(("note", note))

    def close(self):
        self.calls.append(("close",))


# --- what a step computes -------------------------------------------------------------------


def test_one_epoch_is_the_bare_loop(blobs):
    x, y = blobs
    trained, bare = line(), line()
    trained.train(x, y, optimizer=SGD(0.1, momentum=0.9), epochs=2, batch_size=25, shuffle=False)
    loss, optimizer = CrossEntropyLoss(), SGD(0.1, momentum=0.9)
    for _ in range(2):
        for start in (0, 25, 50):  # the last batch has 10 rows
            loss.forward(bare.forward(x[start : start + 25], training=True), y[start : start + 25])
            bare.backward(loss.backward())
            optimizer.step(bare)
    assert_same_bits(arrays(trained), arrays(bare))


def test_history(blobs):
    x, y = blobs
    progress = Recorder()
    history = line().train(
        x, y, optimizer=SGD(0.1), epochs=3, batch_size=25, validation=0.2, test=(x, y),
        schedule=StepDecay(0.5, every=2), progress=progress,
    )  # fmt: skip
    assert history["epoch"] == [1, 2, 3]
    assert history["lr"] == [0.1, 0.1, 0.05]
    assert history["loss"][2] < history["loss"][0]
    assert history.stopped_because == "all epochs done"
    for name in ("accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds"):
        assert len(history[name]) == 3
    starts = [call for call in progress.calls if call[0] == "start"]
    assert starts == [("start", 1, 3, 2), ("start", 2, 3, 2), ("start", 3, 3, 2)]
    assert len([call for call in progress.calls if call[0] == "step"]) == 6
    assert progress.calls[-1] == ("close",)


def test_running_means_weigh_batches_by_their_rows(blobs):
    x, y = blobs
    model = line()
    values, losses = [], CrossEntropyLoss()
    before = model.train(x, y, optimizer=SGD(1e-30), epochs=1, batch_size=25)
    losses.forward(model.forward(x), y)
    values.append(losses.forward(model.forward(x), y))
    assert before["loss"][0] == pytest.approx(values[0], rel=1e-5)
    assert before["accuracy"][0] == model.evaluate(x, y)[1]


def test_sum_reports_the_loss_per_image(blobs):
    x, y = blobs
    mean = line().train(x, y, optimizer=SGD(1e-30), epochs=1)
    summed = line().train(x, y, loss=CrossEntropyLoss("sum"), optimizer=SGD(1e-30), epochs=1)
    assert summed["loss"][0] == pytest.approx(mean["loss"][0], rel=1e-5)


def test_one_hot_labels_and_channels_last_images(digits):
    x, y = digits
    plain, other = small_cnn(), small_cnn(data_format="channels_last")
    plain.train(x, y, epochs=1)
    other.train(x.transpose(0, 2, 3, 1), np.eye(10, dtype=np.float32)[y], epochs=1)
    assert plain.copy_arrays().keys() == other.copy_arrays().keys()
    for name, array in arrays(plain).items():
        np.testing.assert_allclose(array, arrays(other)[name], rtol=1e-4, atol=1e-5)


def test_it_learns(digits):
    x, y = digits
    history = small_cnn(dropout=0).train(x, y, optimizer=Adam(0.01), epochs=5, batch_size=32)
    assert history["accuracy"][-1] > 0.9


# --- clipping ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["global", "array"])
def test_clipped_step(blobs, mode):
    x, y = blobs
    model = line()
    before = arrays(model)
    model.train(
        x, y, optimizer=SGD(1.0), epochs=1, batch_size=60, clip_norm=1e-3, clip_mode=mode,
        shuffle=False,
    )  # fmt: skip
    moved = [np.linalg.norm(after - before[name]) for name, after in arrays(model).items()]
    if mode == "global":
        assert math.hypot(*moved) == pytest.approx(1e-3, rel=1e-3)
    else:
        assert moved == pytest.approx([1e-3, 1e-3], rel=1e-3)


@pytest.mark.parametrize("mode", ["global", "array", "value"])
def test_arrays_left_out_of_the_clip_keep_their_gradients(blobs, mode):
    """And count for nothing in the length of the others."""
    x, y = blobs
    moved = []
    for options in ({}, {"clip_norm": 1e-3, "clip_mode": mode, "clip_arrays": ["weight"]}):
        model = line()
        before = arrays(model)
        model.train(x, y, optimizer=SGD(1.0), epochs=1, batch_size=60, shuffle=False, **options)
        moved.append({name: after - before[name] for name, after in arrays(model).items()})
    free, clipped = moved
    np.testing.assert_array_equal(clipped["0.bias"], free["0.bias"])
    if mode == "value":
        np.testing.assert_allclose(
            clipped["0.weight"], np.clip(free["0.weight"], -1e-3, 1e-3), rtol=1e-3, atol=1e-7
        )
    else:
        assert np.linalg.norm(clipped["0.weight"]) == pytest.approx(1e-3, rel=1e-3)


def test_clipping_by_value_keeps_small_numbers(blobs):
    x, y = blobs
    free, clipped, before = line(), line(), arrays(line())
    options = {"optimizer": SGD(1.0), "epochs": 1, "batch_size": 60, "shuffle": False}
    free.train(x, y, **options)
    gradients = {name: before[name] - after for name, after in arrays(free).items()}
    limit = float(np.median(np.abs(gradients["0.weight"])))  # some are above, some below
    clipped.train(x, y, clip_norm=limit, clip_mode="value", **options)
    for name, after in arrays(clipped).items():
        expected = before[name] - np.clip(gradients[name], -limit, limit)
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)


def test_short_gradients_are_left_alone(blobs):
    x, y = blobs
    free, clipped = line(), line()
    free.train(x, y, epochs=1)
    clipped.train(x, y, epochs=1, clip_norm=1e6)
    assert_same_bits(arrays(free), arrays(clipped))


# --- the same bits ----------------------------------------------------------------------------


def run(digits, path=None, **changes):
    x, y = digits
    model = small_cnn()
    arguments = {
        "optimizer": SGD(0.05, momentum=0.9, weight_decay=1e-3),
        "epochs": 4,
        "batch_size": 64,
        "validation": 0.2,
        "patience": 3,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "augment": Augment(
            shift=2,
            rotate=5,
            brightness=0.1,
            contrast=0.1,
            noise=0.05,
            cutout=4,
            mixup=0.2,
            cutmix=1.0,
        ),
        "checkpoint_path": path,
    }
    history = model.train(x, y, **(arguments | changes))
    return model, history


def test_same_seed_same_bits(digits):
    first, history = run(digits)
    second, again = run(digits)
    assert_same_bits(arrays(first), arrays(second))
    assert history["loss"] == again["loss"]
    other, _ = run(digits, seed=7)
    assert arrays(other)["0.weight"].tobytes() != arrays(first)["0.weight"].tobytes()


class StopAfter:
    """Says stop once, after so many batches."""

    def __init__(self, batches: int):
        self.batches = batches

    def __call__(self) -> bool:
        self.batches -= 1
        return self.batches == 0


@pytest.mark.parametrize("batches", [1, 3, 7, 10])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: SGD(0.05, momentum=0.9),
        lambda: Adam(1e-3),
        lambda: Lookahead(SGD(0.05, momentum=0.9), k=4),  # an epoch has 3 steps
        lambda: Ranger(0.01, k=4),
    ],
    ids=["sgd", "adam", "lookahead", "ranger"],
)
def test_interrupted_and_resumed_has_the_same_bits(digits, tmp_path, batches, optimizer):
    whole, history = run(digits, optimizer=optimizer())
    path = tmp_path / "last.npz"
    _, part = run(digits, path, optimizer=optimizer(), should_stop=StopAfter(batches))
    assert part.stopped_because == "interrupted"
    assert part.epochs == (batches - 1) // 3  # 160 images: three batches an epoch
    resumed, rest = run(digits, path, optimizer=optimizer(), resume_from=path)
    assert_same_bits(arrays(resumed), arrays(whole))
    for name in ("epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy"):
        assert rest[name] == history[name]
    assert rest.best_epoch == history.best_epoch


@pytest.mark.parametrize(
    "schedule", [OneCycle(), Warmup(CosineAnnealing(per_step=True), epochs=2.5)], ids=repr
)
@pytest.mark.parametrize("batches", [3, 7, 8, 9])  # with 3 and 9 only measuring is left
def test_rates_per_step_survive_an_interruption(digits, tmp_path, schedule, batches):
    whole, history = run(digits, schedule=schedule)
    path = tmp_path / "last.npz"
    run(digits, path, schedule=schedule, should_stop=StopAfter(batches))
    resumed, rest = run(digits, path, schedule=schedule, resume_from=path)
    assert_same_bits(arrays(resumed), arrays(whole))
    assert rest["lr"] == history["lr"]
    # The column tells the rate of each epoch's last step.
    assert history["lr"] == [schedule.step_rate(0.05, epoch, 4, 2, 3) for epoch in range(4)]


def test_every_step_is_made_with_its_rate(blobs):
    x, y = blobs
    rates = []

    class Watched(SGD):
        def step(self, target):
            rates.append(self.lr)
            super().step(target)

    schedule = Warmup(OneCycle(), epochs=1)
    optimizer = Watched(0.1)
    line().train(x, y, optimizer=optimizer, epochs=2, batch_size=20, schedule=schedule)
    assert rates == [schedule.step_rate(0.1, e, 2, s, 3) for e in (0, 1) for s in (0, 1, 2)]
    assert len(set(rates)) == 6
    assert optimizer.lr == 0.1  # as it was made


def test_a_finished_run_resumes_to_itself(digits, tmp_path):
    path = tmp_path / "last.npz"
    whole, history = run(digits, path)
    resumed, again = run(digits, path, resume_from=path)
    assert_same_bits(arrays(resumed), arrays(whole))
    assert dict(again) == dict(history)


def test_more_epochs_may_follow(digits, tmp_path):
    path = tmp_path / "last.npz"
    whole, _ = run(digits, schedule=None, patience=None)
    run(digits, path, schedule=None, patience=None, epochs=2)
    longer, _ = run(digits, path, schedule=None, patience=None, resume_from=path)
    assert_same_bits(arrays(longer), arrays(whole))


# --- early stopping ---------------------------------------------------------------------------


def test_early_stopping_restores_the_best(digits):
    x, y = digits
    # Labels of the validation images are wrong, so their loss rises as the network learns.
    validation = (x[:50], (y[:50] + 1) % 10)
    model = small_cnn(dropout=0)
    history = model.train(
        x[50:], y[50:], optimizer=Adam(0.01), epochs=20, validation=validation, patience=2
    )
    assert history.stopped_because == "early stopping"
    assert history.epochs == history.best_epoch + 2 < 20
    assert history["val_loss"][history.best_epoch - 1] == min(history["val_loss"])
    # Parameters and BatchNorm's running means are those of the best epoch.
    assert model.evaluate(*validation)[0] == history["val_loss"][history.best_epoch - 1]


def test_without_patience_the_last_epoch_stays(digits):
    x, y = digits
    model = small_cnn(dropout=0)
    validation = (x[:50], (y[:50] + 1) % 10)
    history = model.train(x[50:], y[50:], optimizer=Adam(0.01), epochs=4, validation=validation)
    assert history.best_epoch < 4
    assert model.evaluate(*validation)[0] == history["val_loss"][-1]


# --- stopping by gain -------------------------------------------------------------------------


def test_training_stops_when_its_accuracy_gains_too_little(digits):
    x, y = digits

    def train(epochs):
        return small_cnn(dropout=0).train(
            x, y, optimizer=Adam(0.003), epochs=30,
            stop_gain=0.02, stop_gain_epochs=epochs,
        )  # fmt: skip

    history = train(2)
    accuracy = history["accuracy"]
    assert history.stopped_because == "gain under the threshold"
    gains = [(accuracy[i] - accuracy[i - 2]) / 2 for i in range(2, len(accuracy))]
    assert min(gains[:-1]) >= 0.02 > gains[-1]
    # One epoch at a time, the first that gains little ends it.
    alone = train(1)["accuracy"]
    gains = [after - before for before, after in itertools.pairwise(alone)]
    assert min(gains[:-1], default=1) >= 0.02 > gains[-1]
    assert alone == accuracy[: len(alone)]


def test_with_validation_the_monitor_has_to_gain(digits):
    x, y = digits
    # Labels of the validation images are wrong: while training gains, their loss rises.
    validation = (x[:50], (y[:50] + 1) % 10)
    history = small_cnn(dropout=0).train(
        x[50:], y[50:], optimizer=Adam(0.01), epochs=9,
        validation=validation, stop_gain=0.0, stop_gain_epochs=1,
    )  # fmt: skip
    assert history.stopped_because == "gain under the threshold"
    losses = history["val_loss"]
    assert losses[-1] > losses[-2]
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert history["accuracy"][-1] > history["accuracy"][-2]


def test_a_network_that_has_not_begun_to_learn_is_not_stopped(blobs):
    x, y = blobs
    model = line()
    model.layers[0].params["weight"] = np.zeros((2, 2), np.float32)
    history = model.train(x, y, optimizer=SGD(0.0), epochs=6, stop_gain=0.1, stop_gain_epochs=1)
    assert history["accuracy"] == [0.5] * 6
    assert history.stopped_because == "all epochs done"


def test_the_epoch_in_which_learning_begins_is_not_compared_with_guessing(blobs):
    x, y = blobs

    class Late(StepDecay):
        def rate(self, lr, epoch, epochs):
            return lr if epoch >= 3 else 0.0

    model = line()
    model.layers[0].params["weight"] = np.zeros((2, 2), np.float32)
    options = {"stop_gain": 2.0, "stop_gain_epochs": 1}  # more than an accuracy can gain
    history = model.train(x, y, optimizer=SGD(0.05), epochs=9, schedule=Late(), **options)
    guessing = [loss == pytest.approx(math.log(2), rel=0.01) for loss in history["loss"]]
    assert guessing == [True, True, True, False, False]


def test_stopping_by_gain_survives_an_interruption(digits, tmp_path):
    path = tmp_path / "last.npz"
    options = {"epochs": 30, "patience": None, "stop_gain": 0.1, "schedule": None}
    whole, history = run(digits, **options)
    assert history.stopped_because == "gain under the threshold"
    assert 4 <= history.epochs < 30
    run(digits, path, **options, should_stop=StopAfter(10))
    for _ in range(2):  # the second time there is nothing left to do
        resumed, rest = run(digits, path, **options, resume_from=path)
        assert_same_bits(arrays(resumed), arrays(whole))
        assert rest["val_loss"] == history["val_loss"]
        assert rest.stopped_because == "gain under the threshold"


def test_split():
    train, validation = split(100, 0.1, seed=1)
    assert len(validation) == 10
    np.testing.assert_array_equal(np.sort(np.r_[train, validation]), np.arange(100))
    np.testing.assert_array_equal(split(100, 0.1, seed=1)[1], validation)
    assert set(split(100, 0.1, seed=2)[1]) != set(validation)


# --- trouble ----------------------------------------------------------------------------------


def test_divergence_names_the_place_and_keeps_the_parameters(blobs):
    x, y = blobs
    model = line()
    before = arrays(model)
    with pytest.raises(TrainingDiverged, match=r"epoch 1, batch .*learning rate 1e\+38") as caught:
        model.train(x, y, optimizer=SGD(1e38), epochs=3, batch_size=10)
    assert caught.value.epoch == 1
    assert caught.value.batch <= 3
    assert_same_bits(arrays(model), before)


def test_no_learning_rate_is_to_blame_before_the_first_step(blobs):
    model = line()
    model.layers[0].params["weight"] = np.full((2, 2), 3e38, np.float32)
    with pytest.raises(TrainingDiverged, match="batch 1: no step has been made yet") as caught:
        model.train(*blobs, epochs=1)
    assert caught.value.steps == 0 and "learning rate" not in str(caught.value)


def test_divergence_in_a_later_epoch_keeps_the_last_finished_one(blobs):
    x, y = blobs

    class Explode(StepDecay):
        def rate(self, lr, epoch, epochs):
            return lr if epoch == 0 else 1e38

    model, once = line(), line()
    once.train(x, y, epochs=1)
    with pytest.raises(TrainingDiverged, match="the end of epoch 1") as caught:
        model.train(x, y, epochs=3, schedule=Explode())
    assert caught.value.epoch == 2
    assert caught.value.history["epoch"] == [1]
    assert_same_bits(arrays(model), arrays(once))


def test_nan_in_the_input(blobs):
    x, y = blobs
    x[30] = np.nan
    with pytest.raises(ValueError, match="training: sample 30 holds NaN"):
        line().train(x, y, batch_size=10, shuffle=False)


def test_stuck_at_guessing_is_noted_once(blobs):
    x, y = blobs
    model = line()
    model.layers[0].params["weight"] = np.zeros((2, 2), np.float32)
    history = model.train(x, y, optimizer=SGD(1e-12), epochs=3)
    assert len(history.notes) == 1
    assert "ln 2 = 0.6931" in history.notes[0]


def test_loss_of_guessing_of_a_network_that_is_often_right_is_not_noted(blobs):
    """As after one short epoch from a beginning in small weights."""
    rng = np.random.default_rng(0)
    x = 1e-3 * rng.standard_normal((200, 3)).astype(np.float32)
    model = Sequential(Dense(3, 3), seed=0)
    model.layers[0].params["weight"] = np.eye(3, dtype=np.float32)
    history = model.train(x, x.argmax(1), optimizer=SGD(1e-12), epochs=1)
    assert history["loss"][0] == pytest.approx(math.log(3), rel=1e-3)
    assert history["accuracy"] == [1.0] and history.notes == []


def test_settings_may_be_numbers_of_numpy(blobs):
    x, y = blobs
    wanted, found = line(), line()
    wanted.train(x, y, validation=0.25, epochs=3, schedule=StepDecay(0.5, 2))
    found.train(
        x, y, validation=np.float32(0.25), epochs=np.int32(3), minutes=None,
        schedule=StepDecay(np.float32(0.5), np.uint8(2)),
    )  # fmt: skip
    np.testing.assert_array_equal(found.parameters.values, wanted.parameters.values)
    size = np.int64(len(x) // 2)
    np.testing.assert_array_equal(found.predict(x, batch_size=size), wanted.predict(x))
    assert found.evaluate(x, y, batch_size=size) == wanted.evaluate(x, y, batch_size=int(size))


def test_far_worse_than_guessing_is_noted(blobs):
    x, y = blobs
    history = line().train(x, y, optimizer=SGD(1e4), epochs=2)
    assert len(history.notes) == 1
    assert "ln 2 = 0.6931: the learning rate 10000 is probably too high" in history.notes[0]


@pytest.mark.parametrize(("factor", "lr"), [(1e4, 1e-9), (1e4, 1e-3), (1e3, 10.0)])
def test_a_loss_that_begins_far_above_guessing_is_not_the_rates(blobs, factor: float, lr: float):
    x, y = blobs
    history = line().train(x * np.float32(factor), y, optimizer=SGD(lr), epochs=1)
    (note,) = history.notes
    assert "before the first step: the pixels or the weights that the network begins with" in note
    assert "learning rate" not in note


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"epochs": 0}, "epochs must be a whole number above 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number above 0"),
        ({"patience": 2}, "early stopping needs validation data"),
        ({"patience": 0, "validation": 0.5}, "patience"),
        ({"validation": 1.5}, "validation must be a share between 0 and 1"),
        ({"validation": 1e-6}, "validation must be a share between 0 and 1"),
        ({"validation": "a"}, r"validation must be a share between 0 and 1, or a pair \(x, y\)"),
        ({"validation": ([[0.0]], None)}, "validation: the last of its 2 is None: leave it out"),
        ({"test": ([[0.0]], [0], None)}, "test: the last of its 3 is None: leave it out"),
        ({"monitor": "loss", "validation": 0.5}, "monitor must be"),
        (
            {"stop_gain": -0.1},
            "training: stop_gain must be a finite number of at least 0, got -0.1",
        ),
        ({"stop_gain": 0.1, "stop_gain_epochs": 0}, "stop_gain_epochs must be a whole number abo"),
        ({"precise_bn": -1}, "precise_bn must be a whole number of at least 0, got -1"),
        ({"clip_norm": 0}, "clip_norm must be a finite number above 0, got 0"),
        ({"clip_norm": "5"}, "clip_norm must be a finite number above 0, got '5'"),
        ({"clip_norm": np.inf}, "clip_norm must be a finite number above 0, got inf"),
        (
            {"min_gain": np.inf, "patience": 2},
            "min_gain must be a finite number of at least 0, got inf",
        ),
        ({"stop_gain": "0.1"}, "stop_gain must be a finite number of at least 0, got '0.1'"),
        ({"shuffle": "no"}, "training: shuffle must be True or False, got 'no'"),
        ({"drop_last": 1}, "training: drop_last must be True or False, got 1"),
        ({"track_gradients": "no"}, "training: track_gradients must be True or False, got 'no'"),
        ({"restore_best": 0}, "training: restore_best must be True or False, got 0"),
        ({"clip_norm": 1.0, "clip_mode": "all"}, "clip_mode must be"),
        ({"clip_norm": 1.0, "clip_arrays": ["wieght"]}, "array 'wieght'; did you mean 'weight'"),
        ({"schedule": "cosinus"}, "there is no schedule"),
        ({"augment": Augment(shift=1)}, r"augment needs images .*got shape \(60, 2\)"),
    ],
)
def test_refused(blobs, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        line().train(*blobs, **arguments)


def test_labels_must_match(blobs):
    x, y = blobs
    with pytest.raises(ValueError, match="training: got 60 samples and 59 labels"):
        line().train(x, y[:-1])
    with pytest.raises(ValueError, match="at least one"):
        line().train(x[:0], y[:0])


def test_train_method_and_slow_twin(blobs):
    x, y = blobs
    fast, slow = line(), line()
    fast.train(x, y, loss=CrossEntropyLoss(), optimizer=SGD(0.1), epochs=2, batch_size=16)
    with backend("loop"):
        slow.train(x, y, loss=CrossEntropyLoss(), optimizer=SGD(0.1), epochs=2, batch_size=16)
    for name, array in arrays(fast).items():
        np.testing.assert_allclose(array, arrays(slow)[name], rtol=1e-5)
