"""Graphs with several outputs are trained and measured as those with one."""

import pickle
import re
from typing import Any

import numpy as np
import pytest

from fastcnn import Augment, Graph, Input, Sequential, load_model
from fastcnn.layers import Dense, Dropout, Flatten, LogSoftmax, ReLU, Sigmoid, Softmax
from fastcnn.losses import CrossEntropyLoss, Losses, MSELoss
from fastcnn.network import checkpoint
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import SGD
from fastcnn.training.fit import rehearse
from fastcnn.training.history import History
from fastcnn.training.parallel import MPI, Alone
from fastcnn.training.resuming import ResumeError
from fastcnn.training.settings import Measuring, Method, Passes
from tests.gradient_check import check_gradient
from tests.training.processes import together

RNG = np.random.default_rng(11)
X = RNG.normal(size=(40, 3)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
NUMBERS = X @ RNG.normal(size=(3, 2)) + 1
TWO = "cross-entropy", "mse"
Y = LABELS, NUMBERS
WEIGHTS = RNG.random(40) + 0.1


def two(*ends: Any, dtype: Any = np.float32, names: tuple[str, str] | None = None) -> Graph:
    """A trunk, a head that tells classes and one that gives numbers."""
    x = Input((3,))
    trunk = Dropout(0.2)(ReLU()(Dense(3, 8)(x)))
    heads = [Dense(8, 3)(trunk), Dense(8, 2)(trunk)]
    for i, end in enumerate(ends):
        heads[i] = end(heads[i])
    return Graph(x, dict(zip(names, heads, strict=True)) if names else heads, seed=1).astype(dtype)


def one() -> Graph:
    x = Input((3,))
    return Graph(x, Dense(8, 3)(Dropout(0.2)(ReLU()(Dense(3, 8)(x)))), seed=1)


def train(model: Any, y: Any = Y, x: Any = X, **options: Any) -> History:
    usual = {"optimizer": SGD(0.05, momentum=0.9), "epochs": 2, "batch_size": 8, "progress": False}
    usual |= {"loss": TWO} if model.output_names else {}
    return model.train(x, y, **(usual | options))


# --- the loss -------------------------------------------------------------------------------------


def test_the_gradients_are_numerical_ones() -> None:
    x = Input((3,))
    trunk = Dense(3, 4)(x)
    model = Graph(x, (Dense(4, 3)(trunk), Dense(4, 2)(trunk * trunk)), seed=1).astype(np.float64)
    loss, data = Losses([CrossEntropyLoss(label_smoothing=0.1), MSELoss()], [0.5, 2]), X[:6] * 1.0
    y, weights = (LABELS[:6], NUMBERS[:6]), WEIGHTS[:6]

    def value() -> np.ndarray:
        return np.array([loss.forward(model.forward(data, training=True), y, weights)])

    value()
    model.backward(loss.backward())
    arrays = {name: array for name, array in model.named_arrays() if "bias" in name}
    arrays["0.weight"] = dict(model.named_arrays())["0.weight"]
    places = {name: name.split(".") for name in arrays}
    given = {name: model.layers[int(i)].grads[kind].copy() for name, (i, kind) in places.items()}
    check_gradient(value, arrays, np.ones(1), given)


def test_a_loss_that_stands_there_twice_keeps_both_gradients() -> None:
    mse = MSELoss()
    loss = Losses([mse, mse])
    loss.forward((np.ones((2, 1)), np.ones((2, 3))), (np.zeros(2), np.zeros((2, 3))))
    assert [gradient.shape for gradient in loss.backward()] == [(2, 1), (2, 3)]
    assert loss.values == (1.0, 1.0)


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"sample_weight": WEIGHTS}, {"ema": 0.9}])
def test_weights_1_and_0_are_the_bits_of_one_output(options: dict[str, Any]) -> None:
    model, alone = two(), one()
    more = {"validation": 0.25, "track_gradients": True, **options}
    history = train(model, loss_weights=(1, 0), **more)
    expected = train(alone, LABELS, **more)
    for part in ("", "val_"):
        assert history[f"{part}loss"] == history[f"{part}y0_loss"] == expected[f"{part}loss"]
        assert history[f"{part}y0_accuracy"] == expected[f"{part}accuracy"]
    arrays = dict(model.named_arrays())
    for name, array in alone.named_arrays():
        np.testing.assert_array_equal(arrays[name], array)


def assert_same_training(model: Graph, same: Graph, **options: Any) -> None:
    """The same bits of parameters and measures, apart from seconds."""
    history, expected = train(model, **options), train(same, **options)
    for name in expected.keys() - {"seconds", "seconds_training"}:
        assert history[name] == expected[name], name
    np.testing.assert_array_equal(model.parameters.values, same.parameters.values)


@pytest.mark.parametrize("end", [Softmax, LogSoftmax])
def test_a_softmax_that_the_loss_has_is_left_out(end: Any, tmp_path: Any) -> None:
    model, same = two(end(), names=("digit", "ink")), two(names=("digit", "ink"))
    assert_same_training(model, same, validation=0.25, epochs=3, ema=0.9, precise_bn=1)
    model.save(tmp_path / "two.npz")
    quick = model.compile_for_inference()
    for again in (model, quick, load_model(tmp_path / "two.npz")):
        assert again.measure(X, Y) == pytest.approx(same.measure(X, Y), rel=1e-5)
        for found, expected in zip(again.predict(X), same.predict(X), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        # What the network gives is what it says: probabilities, and numbers.
        probabilities, numbers = again.forward(X)
        np.testing.assert_allclose(probabilities, end().forward(same.forward(X)[0]), rtol=1e-5)
        np.testing.assert_allclose(numbers, same.forward(X)[1], rtol=1e-5)


def test_a_softmax_that_the_loss_does_not_have_stays() -> None:
    onehot = np.eye(3)[LABELS]
    model, same = two(Softmax()), two()
    train(model, (onehot, NUMBERS), loss=("mse", "mse"))
    train(same, (onehot, NUMBERS), loss=("mse", "mse"))
    assert model.task == ("regression", "regression")
    np.testing.assert_allclose(model.predict(X)[0].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X)[0], model.forward(X)[0])
    assert (model.parameters.values != same.parameters.values).any()
    # Of two that are there, the one that its loss has is left out.
    x = Input((3,))
    y = LABELS, np.eye(2)[(LABELS > 0) * 1]
    first, second = Graph(x, _both(x), seed=1), Graph(x, _one(x), seed=1)
    second.parameters.values[:] = first.parameters.values
    assert_same_training(first, second, y=y, epochs=3)


def _both(x: Any) -> Any:
    return Softmax()(Dense(3, 3)(x)), Softmax()(Dense(3, 2)(x))


def _one(x: Any) -> Any:
    return Dense(3, 3)(x), Softmax()(Dense(3, 2)(x))


def forked(has_softmax: bool) -> Graph:
    """Logits that come out twice and that another head needs too, before and after the softmax."""
    x = Input((3,))
    early = Dense(8, 2)(ReLU()(Dense(3, 8)(x)))
    logits = ReLU()(Dense(3, 3)(x))
    p = Softmax()(logits) if has_softmax else logits
    late = Dense(3, 2)(logits * logits)
    return Graph(x, {"p": p, "early": early, "late": late + early, "logits": logits}, seed=1)


def test_logits_that_others_need_too() -> None:
    y = LABELS, NUMBERS, NUMBERS, LABELS
    loss = "cross-entropy", "mse", "mse", "cross-entropy"
    model, same = forked(True).astype(np.float64), forked(False).astype(np.float64)
    same.parameters.values[:] = model.parameters.values
    options = {"loss": loss, "loss_weights": (1, 0.5, 2, 3), "optimizer": SGD(1e-3)}
    for _ in range(2):
        histories = [train(each, y, **options) for each in (model, same)]
        assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-9)
        found, expected = model.parameters.values, same.parameters.values
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        # With the softmax all is as it is in a loop of one's own.
        outputs = model.forward(X, training=True)
        dy = [RNG.normal(size=each.shape) for each in outputs]
        model.backward(tuple(dy))
        softmax = Softmax()
        softmax.forward(same.forward(X, training=True)[0], training=True)
        same.backward((softmax.backward(dy[0]), *dy[1:]))
        found, expected = model.parameters.gradients, same.parameters.gradients
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_each_output_is_measured(tmp_path: Any) -> None:
    model, seen = two(names=("digit", "ink")), []

    def both(targets: Any, outputs: Any) -> float:
        assert [part.shape for part in targets] == [(40,), (40, 2)]
        return float(np.mean([y.shape[1] for y in outputs]))

    y, weights = {"ink": NUMBERS, "digit": LABELS}, {"digit": 2, "ink": 0.5}
    history = train(
        model, y, loss={"digit": "cross-entropy", "ink": "mse"}, loss_weights=weights, epochs=30,
        validation=(X, y), test=(X, Y, WEIGHTS), monitor="val_digit_accuracy", restore_best=True,
        metrics={"width": both}, callbacks=[lambda _, history: seen.append(history["ink_mae"][-1])],
    )  # fmt: skip
    assert seen == history["ink_mae"] and history["val_width"] == [2.5] * 30
    for part in ("", "val_", "test_"):
        found = {name: history[part + name] for name in ("loss", "digit_loss", "ink_loss")}
        summed = 2 * np.array(found["digit_loss"]) + 0.5 * np.array(found["ink_loss"])
        np.testing.assert_allclose(found["loss"], summed, rtol=1e-6)
    assert history["val_digit_accuracy"][-1] > 0.8 and history["val_ink_r2"][-1] > 0.8
    assert History.from_csv(history.to_csv()) == history
    # What is measured now is what was measured then, and a file knows all of it.
    model.save(tmp_path / "two.npz")
    for again in (model, load_model(tmp_path / "two.npz"), pickle.loads(pickle.dumps(model))):
        assert again.output_names == ("digit", "ink") and repr(again.loss) == repr(model.loss)
        row = again.measure(X, y)
        best = history.best_epoch - 1
        assert row == {name: history[f"val_{name}"][best] for name in row}
        loss, scores = again.evaluate(X, Y)
        assert (loss, scores) == (row["loss"], (row["digit_accuracy"], row["ink_r2"]))
        labels, numbers = again.predict(X, batch_size=7)
        assert np.mean(labels == LABELS) == row["digit_accuracy"] and numbers.shape == (40, 2)
    other = model.measure(X, Y, loss={"ink": "mae", "digit": "hinge"})
    assert other["ink_loss"] == pytest.approx(other["ink_mae"]) and other["digit_loss"] > 0


def test_the_rows_of_a_part_of_the_data_are_those_of_its_targets() -> None:
    """A share that is held out, images appended and mixed, weights."""
    images = RNG.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    x = Input((1, 4, 4))
    flat = Flatten()(x)
    model = Graph(x, (Dense(16, 3)(flat), Dense(16, 1)(flat)))
    ink = images.mean(axis=(1, 2, 3)) / 255
    for augment in (Augment(mixup=0.5), Augment(flip=True, append=1)):
        history = train(
            model, (LABELS, ink), images, validation=0.25, augment=augment, sample_weight=WEIGHTS
        )
        assert np.isfinite(history["val_loss"]).all()
    assert model.predict(images)[1].shape == (40,)


def test_the_table_has_the_score_of_each_output_while_there_is_room() -> None:
    row = {"epoch": 1, "lr": 0.01, "loss": 2.0, "a_loss": 1, "digits_left_loss": 1}
    row |= {"a_accuracy": 0.5, "digits_left_r2": 0.25, "digits_left_mae": 3, "seconds": 1}
    parts = ("loss", "a_loss", "digits_left_loss", "a_accuracy", "digits_left_r2")
    heads = [
        "epoch        lr     loss        a  digits_  seconds",
        "epoch        lr     loss        a  digits_     loss        a  digits_  seconds",
        "epoch        lr     loss     loss        a  digits_     loss  seconds",
    ]
    for part, head in zip(("", "val_", "test_"), heads, strict=True):
        row |= {f"{part}{name}": 0.5 for name in parts if part}
        lines = str(History({name: [value] for name, value in row.items()})).splitlines()
        assert lines[1] == head and max(map(len, lines)) <= 78
    assert lines[2].split()[3:6] == ["0.5000", "50.00%", "0.5000"]


def test_one_loss_is_for_all_outputs() -> None:
    model = two()
    history = train(model, (NUMBERS[:, [0, 1, 0]], NUMBERS), loss="mse")
    assert {"y0_r2", "y1_r2"} <= set(history)
    assert repr(model.loss) == "Losses([MSELoss(), MSELoss()], weights=[1.0, 1.0])"


class Own:
    """Half the squared distance, summed over outputs; of somebody's own."""

    def forward(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        self.distance = outputs - targets
        return float((self.distance**2).sum() / 2 / len(outputs))

    def backward(self) -> np.ndarray:
        return self.distance / len(self.distance)


def test_a_loss_of_ones_own(tmp_path: Any) -> None:
    model, same = two(), two()
    history = train(model, loss=("cross-entropy", Own()))
    expected = train(same)
    np.testing.assert_allclose(history["y1_loss"], expected["y1_loss"], rtol=1e-5)
    model.save(tmp_path / "own.npz")
    again = load_model(tmp_path / "own.npz")
    assert again.loss is None and again.task == ("classification", "regression")
    with pytest.raises(ValueError, match="a loss of somebody's own"):
        again.evaluate(X, Y)
    with pytest.raises(ValueError, match="Own takes no weights: give it forward"):
        train(model, loss=("cross-entropy", Own()), sample_weight=WEIGHTS)


def test_several_inputs_and_outputs() -> None:
    a, b = Input((3,)), Input((2,))
    joined = Dense(3, 2)(a) * b
    model = Graph((a, b), (Dense(2, 3)(joined), joined))
    pairs = X, X[:, :2]
    history = train(model, x=pairs, validation=(pairs, Y), epochs=5, precise_bn=1)
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert [part.shape for part in model.predict(pairs)] == [(40,), (40, 2)]


def test_classes_of_which_a_sample_has_several() -> None:
    x = Input((3,))
    model = Graph(x, (Dense(3, 2)(x), Dense(3, 1)(x), Dense(3, 2)(x)))
    y = np.eye(2)[(LABELS > 0) * 1], LABELS > 1, np.stack([LABELS > 0, LABELS > 1], axis=1)
    history = train(model, y, loss=("hinge", "bce", "bce"), epochs=40)
    columns = ("y0_accuracy", "y1_exact_match", "y1_label_accuracy", "y2_label_accuracy")
    assert all(history[name][-1] > 0.7 for name in columns)
    classes, yes, labels = model.predict(X)
    assert (classes.shape, yes.shape, labels.shape) == ((40,), (40,), (40, 2))
    np.testing.assert_array_equal(np.mean(yes == y[1]), model.measure(X, y)["y1_exact_match"])


def test_the_bits_do_not_depend_on_the_number_of_processes() -> None:
    def trained(parallel: Any) -> tuple[bytes, History]:
        model = two()
        options = {"validation": 0.25, "sample_weight": WEIGHTS, "batch_size": 17}
        history = train(model, parallel=parallel, **options)
        kept = {name: row for name, row in history.items() if not name.startswith("seconds")}
        return model.parameters.values.tobytes(), History(kept)

    alone = trained(Alone())
    assert together(2, lambda comm: trained(MPI(comm))) == [alone, alone]


def test_a_helper_that_compiles_can_rehearse() -> None:
    model, loss = two(), Losses([CrossEntropyLoss(), MSELoss()])
    y = model.joined_targets("training", Y)
    rehearse(
        model, X.dtype, (3,), y[:9], [50], Method.of(loss), Passes(epochs=1, batch_size=4),
        Measuring(),
    )  # fmt: skip
    assert y[:9].tobytes() == pickle.loads(pickle.dumps(y[:9])).tobytes()


# --- saved and gone on with -----------------------------------------------------------------------


def test_a_resumed_run_has_the_bits_of_one_that_was_not_interrupted(tmp_path: Any) -> None:
    path = tmp_path / "last.npz"
    more = {"validation": (X, Y), "loss_weights": (1, 0.5), "ema": 0.9}
    whole, parts = two(), two()
    expected = train(whole, epochs=3, **more)
    asked = iter([False] * 7 + [True])
    train(parts, epochs=3, **more, checkpoint_path=path, should_stop=lambda: next(asked))
    parts = two()
    history = train(parts, epochs=3, **more, checkpoint_path=path, resume_from=path)
    for name in expected.keys() - {"seconds", "seconds_training"}:
        assert history[name] == expected[name], name
    np.testing.assert_array_equal(parts.parameters.values, whole.parameters.values)
    with pytest.raises(ResumeError, match=re.escape("weights=[1.0, 0.5])', now")):
        train(two(), epochs=4, **(more | {"loss_weights": (1, 1)}), resume_from=path)
    with pytest.raises(ResumeError, match="had y '40 int64, checksum"):
        train(two(), (LABELS, 2 * NUMBERS), epochs=4, **more, resume_from=path)
    with pytest.raises(CheckpointError, match="a model with other names of its outputs"):
        train(two(names=("a", "b")), epochs=4, **more, resume_from=path)


def test_a_file_that_says_something_else_is_refused() -> None:
    model = two(names=("a", "b"))
    train(model)
    good, arrays = checkpoint.describe(model), model.copy_arrays()
    assert checkpoint.rebuild(good, arrays, Graph).output_names == ("a", "b")
    spec = good["loss"]
    for wrong in (
        {"output_names": ["a"]}, {"output_names": ["a", "a"]}, {"output_names": ["a", 3]},
        {"output_names": 7}, {"task": ["classification"]}, {"task": ["regression", "what"]},
        {"task": {}}, {"loss": {"type": "Losses"}}, {"loss": {**spec, "weights": [1]}},
        {"loss": {**spec, "weights": 1}}, {"loss": {**spec, "weights": ["a", "b"]}},
        {"loss": {**spec, "losses": [spec, spec]}}, {"loss": {**spec, "losses": [None, None]}},
        {"loss": {**spec, "losses": 3}},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError, LookupError)):
            checkpoint.rebuild({**good, **wrong}, arrays, Graph)
    alone = one()
    with pytest.raises(ValueError, match="the network has one output"):
        checkpoint.rebuild(checkpoint.describe(alone) | {"loss": spec}, alone.copy_arrays(), Graph)


# --- what is refused ------------------------------------------------------------------------------

REFUSED = [
    ({"y": LABELS}, "training: this Graph has 2 outputs, so y is a tuple of as many arrays of"),
    ({"y": (LABELS, NUMBERS, LABELS)}, "so y is a tuple of as many arrays of targets, got 3"),
    ({"y": (LABELS, NUMBERS[:5])}, r"targets of output y1 must be as many .*\(5, 2\) beside \(40,"),
    ({"y": (LABELS[:5], NUMBERS[:5])}, "training: got 40 samples and 5 labels"),
    ({"y": (LABELS, NUMBERS[:, 0])}, r"training, output y1: expected targets as \(40, 2\)"),
    ({"y": (LABELS + 1, NUMBERS)}, "training, output y0: labels must lie between 0 and 2"),
    ({"y": (LABELS, NUMBERS * np.nan)}, "training, output y1: target 0 is NaN"),
    ({"y": (LABELS.astype(str), NUMBERS)}, "training, output y0: labels are names, .*number them"),
    ({"y": {"y0": LABELS, "ink": NUMBERS}}, "a dict of the outputs y0, y1, got one of y0, ink"),
    ({"validation": (X, LABELS)}, "validation: this Graph has 2 outputs"),
    ({"test": (X, (LABELS,))}, "test: this Graph has 2 outputs.* got 1"),
    ({"loss": ("mse",)}, "loss: the network has 2 outputs, got 1 losses or weights"),
    ({"loss": ("mse", "mse", "mse")}, "loss: the network has 2 outputs, got 3"),
    ({"loss": ("mse", "what")}, "there is no loss 'what'"),
    ({"loss": ("mse", ("mse", "mse"))}, "one loss for each output"),
    ({"loss": ()}, "a loss for each output, got none"),
    ({"loss_weights": (1, 2, 3)}, "loss_weights must be 2 numbers"),
    ({"loss_weights": 3}, "loss_weights must be 2 numbers"),
    ({"loss_weights": (1, np.inf)}, "loss_weights must be a finite number, got inf"),
    ({"loss": "mse", "loss_weights": 1}, "loss_weights must be"),
    ({"loss": Losses([MSELoss()] * 2), "loss_weights": (1, 1)}, "has weights of its own"),
    ({"class_weight": "balanced"}, "class_weight is for one output of classes; .* sample_weight"),
    ({"loss": ("hinge", "mse"), "augment": Augment(mixup=1.0)}, "HingeLoss takes one class"),
    ({"monitor": "val_accuracy", "validation": 0.2}, "known are val_loss, val_y0_loss, val_y1"),
    ({"metrics": {"y0_loss": max}, "validation": 0.2}, "'y0_loss' is measured already"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_does_not_fit_is_told(options: dict[str, Any], sentence: str) -> None:
    model = two()
    before = model.parameters.values.copy()
    with pytest.raises((TypeError, ValueError), match=sentence):
        train(model, **options)
    np.testing.assert_array_equal(model.parameters.values, before)


def test_what_the_network_ends_with_is_told() -> None:
    x = Input((3,))
    logits = Dense(3, 3)(x)
    p = Softmax()(logits)
    for outputs in ((p, Dense(3, 2)(p)), (p, p)):
        loss = "cross-entropy", "mse" if outputs[1] is not p else "cross-entropy"
        with pytest.raises(
            ValueError, match="the Softmax of output y0 is not left out, as other l"
        ):
            train(Graph(x, outputs), loss=loss, y=(LABELS, NUMBERS))
    with pytest.raises(ValueError, match="BinaryCrossEntropyLoss has a sigmoid of its own"):
        train(two(ReLU(), Sigmoid()), (LABELS, NUMBERS > 0), loss=("cross-entropy", "bce"))
    with pytest.raises(ValueError, match=r"has one output, so give one loss .* got 2"):
        Sequential(Dense(3, 3)).train(X, Y, loss=TWO, progress=False)
    with pytest.raises(ValueError, match=r"has one output, so give one loss .* got 2"):
        one().train(X, LABELS, loss_weights=(1, 2), progress=False)
    for name in ("val_x", "test", "a b", 3):
        with pytest.raises(ValueError, match="the name of an output must be a word"):
            two(names=(name, "b"))  # type: ignore[arg-type]
