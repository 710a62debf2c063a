"""Training for classes, for several labels and for numbers; weights; losses of one's own."""

import pickle
import re

import numpy as np
import pytest

from fastcnn import Augment, Graph, Input, Sequential, load_model
from fastcnn.layers import Dense, ReLU, Sigmoid, Softmax
from fastcnn.losses import (
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    MSELoss,
)
from fastcnn.network import checkpoint
from fastcnn.optim import SGD, Adam
from fastcnn.training.history import History
from fastcnn.training.resuming import ResumeError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 3)).astype(np.float32)
NUMBERS = X @ np.array([[1, 2], [0, -1], [3, 0.5]]) + np.array([4, -1])
LABELS = (X[:, 0] > 0.5) + (X[:, 1] > 0).astype(np.int64)
SEVERAL = (X @ RNG.normal(size=(3, 4)) > 0).astype(np.uint8)
WEIGHTS = RNG.random(60) + 0.1


def network(outputs, *last, dtype=np.float64):
    return Sequential(Dense(3, 8), ReLU(), Dense(8, outputs), *last, seed=1).astype(dtype)


def train(model, y, **options):
    usual = {"optimizer": Adam(0.02), "epochs": 3, "batch_size": 16, "progress": False}
    return model.train(X.astype(model.dtype), y, **(usual | options))


CASES = [
    ("mse", NUMBERS, 2, ("r2", "mae")),
    ("mae", NUMBERS[:, 0], 1, ("r2", "mae")),
    (HuberLoss(delta=2.0), NUMBERS[:, :1], 1, ("r2", "mae")),
    ("bce", SEVERAL, 4, ("exact_match", "label_accuracy")),
    ("bce", SEVERAL[:, 0], 1, ("exact_match", "label_accuracy")),
    ("hinge", LABELS, 3, ("accuracy",)),
    (None, LABELS, 3, ("accuracy",)),
]


@pytest.mark.parametrize(("loss", "y", "outputs", "names"), CASES)
def test_training_measures_what_fits_the_loss(tmp_path, loss, y, outputs, names):
    model = network(outputs)
    history = train(model, y, loss=loss, epochs=40, validation=0.2, test=(X, y))
    for part in ("", "val_", "test_"):
        assert {part + "loss", *(part + name for name in names)} <= set(history)
    assert ("accuracy" in history) == ("accuracy" in names)
    assert history["test_loss"][-1] < 0.3 * history["test_loss"][0]
    assert history["test_" + names[0]][-1] > 0.8
    # Files know what the model is for.
    row = model.measure(X, y)
    assert model.evaluate(X, y) == (row["loss"], row[names[0]])
    assert row == {name: history["test_" + name][-1] for name in ("loss", *names)}
    model.save(tmp_path / "model.npz")
    for again in (load_model(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert again.measure(X, y) == row
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert repr(again.loss) == repr(model.loss)
    # What is predicted has the shape of what was learned.
    predicted = model.predict(X)
    assert predicted.shape == (np.shape(y) if np.shape(y)[-1] != 1 else (60,))
    assert History.from_csv(history.to_csv()) == dict(history)
    assert len(str(history).splitlines()[-1]) <= 80


def test_measures_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    model = network(2)
    train(model, NUMBERS, loss="mse")
    predicted = model.predict(X)
    for weights in (None, WEIGHTS):
        row = model.measure(X, NUMBERS, 7, sample_weight=weights)
        given = (NUMBERS, predicted)
        assert row["loss"] == pytest.approx(
            metrics.mean_squared_error(*given, sample_weight=weights)
        )
        assert row["mae"] == pytest.approx(
            metrics.mean_absolute_error(*given, sample_weight=weights)
        )
        assert row["r2"] == pytest.approx(
            metrics.r2_score(*given, sample_weight=weights), rel=1e-12
        )
    model = network(4)
    train(model, SEVERAL, loss="bce")
    for weights in (None, WEIGHTS):
        row = model.measure(X, SEVERAL, 7, sample_weight=weights)
        share = metrics.accuracy_score(SEVERAL, model.predict(X), sample_weight=weights)
        assert row["exact_match"] == pytest.approx(share)
    np.testing.assert_allclose(
        model.predict_proba(X), 1 / (1 + np.exp(-model.predict_logits(X))), rtol=1e-12
    )
    model = network(3)
    train(model, LABELS)
    for weights in (None, WEIGHTS):
        row = model.measure(X, LABELS, 7, sample_weight=weights)
        given = (LABELS, model.predict_proba(X))
        assert row["loss"] == pytest.approx(metrics.log_loss(*given, sample_weight=weights))
        share = metrics.accuracy_score(LABELS, model.predict(X), sample_weight=weights)
        assert row["accuracy"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("y", "noted"),
    [
        (np.linspace(-2, 2, 40), ""),
        (np.linspace(-2, 2, 40) + 180, "the targets have mean 180 and deviation 1."),
        (np.linspace(-2, 2, 40) * 1000, "the targets have mean"),
        (np.linspace(-2, 2, 40) / 100, "the targets have mean"),
        (np.zeros(40), "the targets have mean 0 and deviation 0:"),
        (np.linspace(-2, 2, 40)[:, None] + [0, 70, 90], "the targets of number 1 have mean 70 "),
    ],
)
def test_numbers_far_from_one_are_noted_before_the_first_step(y, noted):
    outputs = 1 if y.ndim == 1 else y.shape[1]
    model, optimizer = Sequential(Dense(3, outputs)), SGD(0)
    x = np.ones((40, 3), np.float32)
    for wanted in (noted, ""):  # then it has been told
        history = model.train(x, y, loss="mse", optimizer=optimizer, epochs=1, progress=False)
        assert len(history.notes) == bool(wanted)
        assert "".join(history.notes).startswith(wanted)


def test_numbers_of_one_of_several_outputs_are_noted():
    x = Input((3,))
    graph = Graph(x, {"kind": Dense(3, 2)(x), "price": Dense(3, 1)(x)})
    y = {"kind": np.arange(40) % 2, "price": np.full(40, 9e3)}
    loss = {"kind": "cross-entropy", "price": "mae"}
    history = graph.train(np.ones((40, 3), np.float32), y, loss=loss, epochs=1, progress=False)
    assert history.notes[0].startswith("the targets of output price have mean 9000 and deviation 0")


def test_constant_targets_have_no_variance_to_explain():
    model = Sequential(Dense(3, 1)).astype(np.float64)
    model.layers[0].params["weight"][...] = 0
    model.layers[0].params["bias"][...] = 5
    model.trained_by(MSELoss(), "regression")
    assert model.measure(X, np.full(60, 5.0)) == {"loss": 0, "r2": 1, "mae": 0}
    assert model.measure(X, np.full(60, 4.0)) == {"loss": 1, "r2": 0, "mae": 1}
    # Far from 0 the variance is not rounded away.
    model.layers[0].params["bias"][...] = 1e8
    y = 1e8 + np.arange(60) % 2
    assert model.measure(X, y)["r2"] == pytest.approx(1 - 0.5 / 0.25)


def test_a_file_that_does_not_say_is_of_a_classifier(tmp_path):
    """As those of version 0.1 do not."""
    model, path = network(3), tmp_path / "model.npz"
    header = {"model": checkpoint.describe(model)}
    del header["model"]["task"], header["model"]["loss"]
    checkpoint.write(path, header, {"model": model.copy_arrays()})
    again = load_model(path)
    assert (again.task, repr(again.loss)) == ("classification", "CrossEntropyLoss()")
    for task, loss in (("cooking", None), ("regression", {"type": "Cubic"}), ("regression", 3)):
        header["model"] |= {"task": task, "loss": loss}
        checkpoint.write(path, header, {"model": model.copy_arrays()})
        with pytest.raises(checkpoint.CheckpointError, match="does not describe a model"):
            load_model(path)


# --- weights ------------------------------------------------------------------------------------


def stepped(y, **options):
    """The weights after one step over everything."""
    model = network(options.pop("outputs", 3))
    train(model, y, epochs=1, batch_size=60, optimizer=SGD(0.5), shuffle=False, **options)
    return model.parameters.values.copy()


def test_a_whole_number_of_weight_is_so_many_copies():
    counts = np.arange(60) % 3
    repeated = network(3)
    x, y = np.repeat(X, counts, axis=0), np.repeat(LABELS, counts)
    repeated.train(x.astype(np.float64), y, epochs=1, batch_size=60, optimizer=SGD(0.5),
                   shuffle=False, progress=False)  # fmt: skip
    weighted = stepped(LABELS, sample_weight=counts)
    np.testing.assert_allclose(weighted, repeated.parameters.values, rtol=1e-12, atol=1e-14)
    one = network(3)
    row = one.measure(X, LABELS, sample_weight=counts)
    assert row == pytest.approx(one.measure(x, y), rel=1e-12)


def test_only_the_ratios_of_weights_count():
    weighted = stepped(LABELS, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(stepped(LABELS, sample_weight=4 * WEIGHTS), weighted)
    assert (stepped(LABELS) != weighted).any()
    np.testing.assert_array_equal(stepped(LABELS, sample_weight=np.full(60, 2)), stepped(LABELS))


def test_balanced_classes_are_those_of_scikit_learn_and_pytorch():
    counts = np.bincount(LABELS)
    by_hand = 60 / (3 * counts)
    balanced = stepped(LABELS, class_weight="balanced")
    np.testing.assert_array_equal(balanced, stepped(LABELS, class_weight=dict(enumerate(by_hand))))
    np.testing.assert_allclose(balanced, stepped(LABELS, sample_weight=by_hand[LABELS]))
    # A row of probabilities weighs what its classes weigh.
    np.testing.assert_allclose(balanced, stepped(np.eye(3)[LABELS], class_weight="balanced"))
    # sum(w * loss) / sum(w), as PyTorch's CrossEntropyLoss(weight=...) has it.
    model = network(3)
    shares = model.predict_proba(X)[np.arange(60), LABELS]
    weights = by_hand[LABELS]
    expected = -(weights * np.log(shares)).sum() / weights.sum()
    history = train(model, LABELS, epochs=1, batch_size=60, class_weight="balanced")
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
    assert history["accuracy"][0] == np.mean(shares > 1 / 2) or history["accuracy"][0] > 0
    assert model.measure(X, LABELS, class_weight="balanced") != model.measure(X, LABELS)


def test_class_weights_may_have_names_and_multiply_sample_weights():
    names = np.array(["ant", "bee", "cow"])[LABELS]
    weights = np.array([1, 5, 0.5])
    named = stepped(names, class_weight={"bee": 5, "cow": 0.5}, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(named, stepped(LABELS, sample_weight=weights[LABELS] * WEIGHTS))


def test_held_out_rows_keep_their_weights():
    from fastcnn.training import split

    _, held = split(60, 0.25, 1)
    model, other = network(2), network(2)
    one = train(model, NUMBERS, loss="mse", validation=0.25, sample_weight=WEIGHTS)
    row = model.measure(X[held], NUMBERS[held], sample_weight=WEIGHTS[held])
    assert row["loss"] == one["val_loss"][-1]
    two = train(other, NUMBERS, loss="mse", test=(X, NUMBERS, WEIGHTS))
    assert two["test_loss"][-1] == other.measure(X, NUMBERS, sample_weight=WEIGHTS)["loss"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sample_weight": WEIGHTS[:9]}, "training: sample_weight: expected one weight for each"),
        ({"sample_weight": -WEIGHTS}, "sample_weight: weights must be finite and at least 0"),
        ({"sample_weight": np.zeros(60)}, "must not be 0 for all samples"),
        ({"sample_weight": ["a"] * 60}, "weights must be numbers"),
        ({"class_weight": "even"}, "class_weight must be a dict or 'balanced', got 'even'"),
        ({"class_weight": [1, 2, 3]}, "class_weight must be a dict or 'balanced', got [1"),
        ({"class_weight": {3: 1.0}}, "class_weight is for classes 0 to 2, got 3"),
        ({"class_weight": {"cat": 1.0}}, "the classes have no names"),
        ({"class_weight": {0: -1.0}}, "class_weight: weights must be finite and at least 0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "the weights must not be 0 for all"),
        ({"validation": (X, LABELS, WEIGHTS[:3])}, "validation: sample_weight: expected one"),
        ({"loss": "mse", "y": X[:, 0], "outputs": 1, "class_weight": "balanced"},
         "class_weight is for classes; for regression give sample_weight"),
    ],
)  # fmt: skip
def test_wrong_weights_are_refused(options, sentence):
    options = {"y": LABELS, **options}
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        train(network(options.pop("outputs", 3)), **options)


# --- targets ------------------------------------------------------------------------------------

HOLED = np.where(np.arange(60) == 7, np.nan, NUMBERS[:, 0])


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "sentence"),
    [
        ("mse", HOLED, 1, "training: target 7 is NaN or infinite"),
        ("mse", NUMBERS, 1, "expected targets as (60,), as the model gives 1 number per sample"),
        ("mse", NUMBERS[:, 0], 2, "expected targets as (60, 2), as the model gives 2 numbers"),
        ("mse", NUMBERS[:9], 2, "got 60 samples and 9 labels"),
        ("mse", np.full(60, "cat"), 1, "takes numbers as targets, got text such as cat"),
        ("mse", NUMBERS[None], 2, "got 60 samples and 1 labels"),
        ("bce", SEVERAL * 2, 4, "row 0 of the labels must hold numbers from 0"),
        ("bce", LABELS, 3, "expected targets as (60, 3)"),
        ("hinge", LABELS, 1, "a model that gives one number tells no classes apart, got label"),
        ("hinge", NUMBERS[:, 0], 3, "labels must be whole numbers, names or one-hot rows"),
    ],
)
def test_wrong_targets_are_refused_before_the_first_step(loss, y, outputs, sentence):
    model = network(outputs)
    before = model.parameters.values.copy()
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        train(model, y, loss=loss)
    np.testing.assert_array_equal(model.parameters.values, before)
    assert (model.task, repr(model.loss)) == ("classification", "CrossEntropyLoss()")


def test_a_sigmoid_is_not_applied_twice():
    for last in (Sigmoid(), Softmax()):
        with pytest.raises(ValueError, match="has a sigmoid of its own: leave out the S"):
            train(network(4, last), SEVERAL, loss="bce")


def test_numbers_keep_a_softmax_that_classes_leave_out():
    shares = RNG.dirichlet(np.ones(3), 60)
    model = network(3, Softmax())
    train(model, shares, loss="mse", epochs=1)
    np.testing.assert_allclose(model.predict(X).sum(axis=1), 1)
    assert model.measure(X, shares)["loss"] == pytest.approx(
        ((model.forward(X) - shares) ** 2).mean()
    )
    with pytest.raises(ValueError, match="this model gives numbers, which have no probability"):
        model.predict_proba(X)


def test_the_monitor_must_be_measured():
    with pytest.raises(ValueError, match=r"'val_accuracy'; .*known are val_loss, val_r2, val_mae"):
        train(network(2), NUMBERS, loss="mse", monitor="val_accuracy", validation=0.2)
    model = network(2)
    options = {"loss": "mse", "validation": 0.2, "restore_best": True, "epochs": 6}
    history = train(model, NUMBERS, monitor="val_mae", **options)
    assert history.best_epoch == 1 + int(np.argmin(history["val_mae"]))
    history = train(network(2), NUMBERS, monitor="val_r2", **options)
    assert history.best_epoch == 1 + int(np.argmax(history["val_r2"]))


# --- losses of one's own ------------------------------------------------------------------------


class Cubic:
    """The mean of |d|^3."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def forward(self, outputs, targets):
        self._distance = outputs - targets
        return self.scale * float((np.abs(self._distance) ** 3).mean())

    def backward(self):
        return self.scale * 3 * self._distance * np.abs(self._distance) / self._distance.size


class Weighted(Cubic):
    def forward(self, outputs, targets, weights=None):
        self._weights = np.ones(len(outputs)) if weights is None else weights
        self._distance = outputs - targets
        each = (np.abs(self._distance) ** 3).mean(axis=1)
        return float((each * self._weights).mean())

    def backward(self):
        return super().backward() * self._weights[:, None]


class Focal:
    """For classes: (1 - p)^2 of the right class times cross-entropy; not a subclass of ours."""

    from_logits = True

    def forward(self, outputs, targets):
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        self._p, self._y = powers / powers.sum(axis=1, keepdims=True), targets
        right = self._p[np.arange(len(targets)), targets]
        return float(-((1 - right) ** 2 * np.log(right)).mean())

    def backward(self):
        rows = np.arange(len(self._y))
        right = self._p[rows, self._y][:, None]
        slope = 2 * (1 - right) * right * np.log(right) - (1 - right) ** 2
        return slope * (np.eye(self._p.shape[1])[self._y] - self._p) / len(rows)


def test_a_loss_of_ones_own_trains_numbers_and_classes(tmp_path):
    model = network(2, dtype=np.float32)
    history = train(model, NUMBERS, loss=Cubic(), epochs=30, validation=0.2)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert "val_mae" in history
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="trained with a loss of somebody's own"):
        again.evaluate(X, NUMBERS)
    assert again.measure(X, NUMBERS, loss=Cubic()) == model.measure(X, NUMBERS)
    model = network(3)
    history = train(model, LABELS, loss=Focal(), epochs=30)
    assert history["accuracy"][-1] > 0.9
    assert model.predict(X).shape == (60,)


def test_a_loss_of_ones_own_may_take_weights():
    with pytest.raises(ValueError, match="Cubic takes no weights: give it forward"):
        train(network(2), NUMBERS, loss=Cubic(), sample_weight=WEIGHTS)
    counts = np.arange(60) % 2
    one, two = network(2), network(2)
    train(one, NUMBERS, loss=Weighted(), sample_weight=counts, epochs=1, batch_size=60,
          shuffle=False)  # fmt: skip
    x = X[counts == 1].astype(np.float64)
    two.train(x, NUMBERS[counts == 1], loss=Cubic(), optimizer=Adam(0.02), epochs=1,
              batch_size=60, shuffle=False, progress=False)  # fmt: skip
    np.testing.assert_allclose(one.parameters.values, two.parameters.values, rtol=1e-9, atol=1e-12)


def test_a_wrong_gradient_is_named():
    class Wrong(Cubic):
        def backward(self):
            return super().backward().mean(axis=1)

    with pytest.raises(ValueError, match=r"Wrong.backward must give .* \(16, 2\), got \(16,\)"):
        train(network(2), NUMBERS, loss=Wrong())


def test_a_loss_of_ones_own_that_writes_into_its_arrays_changes_nothing():
    class Greedy(Cubic):
        def forward(self, outputs, targets):
            value = super().forward(outputs.copy(), targets.copy())
            outputs[:], targets[:] = 0, 0
            return value

    y, options = NUMBERS.copy(), {"epochs": 2}
    models = network(2), network(2)
    rows = [train(m, y, loss=loss, validation=(X, y), **options) for m, loss in
            zip(models, (Greedy(), Cubic()), strict=True)]  # fmt: skip
    np.testing.assert_array_equal(*(model.parameters.values for model in models))
    assert (y == NUMBERS).all()
    assert rows[0]["val_r2"] == rows[1]["val_r2"]


@pytest.mark.parametrize("value", [NUMBERS, None, "low", (0.5, NUMBERS), {}])
def test_a_loss_of_ones_own_gives_a_number(value):
    class Wrong(Cubic):
        def forward(self, outputs, targets):
            return value

    with pytest.raises(ValueError, match=r"Wrong\.forward must give a number, the mean over"):
        train(network(2), NUMBERS, loss=Wrong())


# --- mixed samples -------------------------------------------------------------------------------


def test_a_mixed_batch_has_the_loss_of_its_shares():
    """Cross-entropy is linear in the targets: that of both classes, by their shares."""
    model, mixing = network(3), []
    weights = np.array([1.0, 2, 4])[LABELS]

    class Seen(CrossEntropyLoss):
        def forward(self, outputs, targets, weights=None):
            mixing.append((outputs.copy(), targets, weights))
            return super().forward(outputs, targets, weights)

    history = train(model, LABELS, loss=Seen(), augment=Augment(mixup=0.7), epochs=1,
                    class_weight={1: 2.0, 2: 4.0})  # fmt: skip
    by_class = weights.mean()
    for outputs, targets, given in mixing:
        np.testing.assert_allclose(targets.sum(axis=1), 1)
        assert ((targets > 0).sum(axis=1) <= 2).all() and (targets.max(axis=1) < 1).any()
        np.testing.assert_allclose(given, targets @ [1, 2, 4] / by_class)
        log_p = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
        assert np.isfinite(log_p).all()
    total = sum(
        (-(targets * (outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True)))).sum(axis=1)
         * given).sum()
        for outputs, targets, given in mixing
    )  # fmt: skip
    assert history["loss"][0] == pytest.approx(total / 60)


def test_numbers_and_labels_are_mixed_too():
    for loss, y, outputs in (("mse", NUMBERS, 2), ("bce", SEVERAL, 4)):
        history = train(network(outputs), y, loss=loss, augment=Augment(mixup=0.2), epochs=30)
        assert history["loss"][-1] < 0.7 * history["loss"][0]
    for loss in ("hinge", Focal()):
        with pytest.raises(ValueError, match=r"mixup and cutmix mix targets too, and (H|F)"):
            train(network(3), LABELS, loss=loss, augment=Augment(mixup=0.2))


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "options"),
    [
        (lambda: HuberLoss(delta=2.0), NUMBERS, 2, {"sample_weight": WEIGHTS, "validation": 0.2}),
        (BinaryCrossEntropyLoss, SEVERAL, 4, {"test": (X, SEVERAL, WEIGHTS)}),
        (HingeLoss, LABELS, 3, {"class_weight": "balanced", "validation": 0.2, "patience": 9}),
        (CrossEntropyLoss, LABELS, 3, {"class_weight": {2: 3.0}}),
        (Cubic, NUMBERS, 2, {"validation": (X, NUMBERS)}),
        (MSELoss, NUMBERS, 2, {"augment": Augment(mixup=0.3), "sample_weight": WEIGHTS}),
    ],
)
def test_a_run_goes_on_to_the_same_bits(tmp_path, loss, y, outputs, options):
    path, whole = tmp_path / "last.npz", network(outputs)
    history = train(whole, y, loss=loss(), epochs=4, **options)
    train(network(outputs), y, loss=loss(), epochs=2, checkpoint_path=path, **options)
    resumed = network(outputs)
    rest = train(resumed, y, loss=loss(), epochs=4, resume_from=path, **options)
    np.testing.assert_array_equal(resumed.parameters.values, whole.parameters.values)
    for name in history:
        assert "seconds" in name or rest[name] == history[name]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"loss": HuberLoss(delta=3.0)}, "had loss 'HuberLoss(delta=2.0)', now 'HuberLoss(delta=3"),
        ({"loss": Weighted(2.0)}, "now 'Weighted(scale=2.0)'"),
        ({"sample_weight": None}, "had sample_weight '60 float64, checksum"),
        ({"sample_weight": WEIGHTS + 1}, "sample_weight cannot change within a run"),
    ],
)
def test_other_losses_and_weights_are_another_run(tmp_path, change, sentence):
    path = tmp_path / "last.npz"
    options = {"loss": HuberLoss(delta=2.0), "sample_weight": WEIGHTS}
    train(network(2), NUMBERS, epochs=1, checkpoint_path=path, **options)
    with pytest.raises((ResumeError, ValueError), match=re.escape(sentence)):
        train(network(2), NUMBERS, resume_from=path, **(options | change))
