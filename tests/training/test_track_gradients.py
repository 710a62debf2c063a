"""Norms of gradients over the epochs: the numbers, resuming, and that training is not changed."""

import math

import numpy as np
import pytest

from fastcnn import Sequential, datasets
from fastcnn.layers import Conv2D, Dense, Flatten, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import SGD
from fastcnn.runs.saved import Saved
from fastcnn.train import main
from fastcnn.training.history import History, Table


@pytest.fixture(scope="module")
def digits():
    data = datasets.load("digits")
    return data.x_train[:160, :, ::2, ::2].copy(), data.y_train[:160]


def network() -> Sequential:
    return Sequential(Conv2D(1, 4, 3), ReLU(), Flatten(), Dense(4 * 12 * 12, 10), seed=3)


class StopAfter:
    """Says stop once, after so many batches."""

    def __init__(self, batches: int):
        self.batches = batches

    def __call__(self) -> bool:
        self.batches -= 1
        return self.batches == 0


def test_norms_are_those_of_the_gradients(digits):
    """With a rate too small to change a bit, every step sees the same parameters."""
    x, y = digits
    model = network()
    for layer in model.layers:
        if "bias" in layer.params:  # a bias of zero would change, and with it the ReLU of black
            layer.params["bias"] = np.full(layer.params["bias"].shape, 0.1)
    options = {"optimizer": SGD(1e-30), "shuffle": False, "clip_norm": 1e-3}
    history = model.train(x, y, epochs=2, batch_size=40, track_gradients=True, **options)
    expected: dict[str, list[float]] = {name: [] for name in model.parameters.slices}
    loss = CrossEntropyLoss()
    for start in range(0, 160, 40):
        loss.forward(model.forward(x[start : start + 40], training=True), y[start : start + 40])
        model.backward(loss.backward())
        for i, layer in enumerate(model.layers):
            for name, gradient in layer.grads.items():
                expected[f"{i}.{name}"].append(float(np.linalg.norm(gradient)))
    assert history.gradients["epoch"] == [1, 2]
    for name, norms in expected.items():
        assert history.gradients[name] == pytest.approx([np.mean(norms)] * 2, rel=1e-5)


def test_at_most_ten_steps_of_an_epoch_are_measured(digits, monkeypatch):
    from fastcnn.training.tracking import optim_kernels

    measured, real = [], optim_kernels.squared_norm
    monkeypatch.setattr(
        optim_kernels, "squared_norm", lambda *arguments: measured.append(1) or real(*arguments)
    )
    history = network().train(*digits, epochs=1, batch_size=2, track_gradients=True)
    arrays = len(history.gradients) - 1  # the other column is the epoch
    assert len(measured) == 10 * arrays
    network().train(*digits, epochs=1, batch_size=2)
    assert len(measured) == 10 * arrays


def test_tracking_changes_no_bit_of_training(digits):
    plain, tracked = network(), network()
    history = plain.train(*digits, epochs=2)
    tracked.train(*digits, epochs=2, track_gradients=True)
    assert history.gradients == {}
    for name, array in plain.copy_arrays().items():
        assert array.tobytes() == tracked.copy_arrays()[name].tobytes()


def test_interrupted_and_resumed_has_the_same_numbers(digits, tmp_path):
    path = tmp_path / "last.npz"
    options = {"epochs": 4, "batch_size": 40, "track_gradients": True, "checkpoint_path": path}
    whole = network().train(*digits, **options)
    part = network().train(*digits, should_stop=StopAfter(7), **options)
    assert part.gradients["epoch"] == [1]
    resumed = network().train(*digits, resume_from=path, **options)
    assert dict(resumed.gradients) == dict(whole.gradients)
    assert whole.gradients["epoch"] == [1, 2, 3, 4]


def test_command_line_writes_and_removes_the_file(tmp_path):
    run = ["--dataset", "digits", "--limit-train", "100", "--limit-test", "20", "--quiet"]
    run += ["--epochs", "2", "--out", str(tmp_path)]
    assert main([*run, "--track-gradients"]) == 0
    table = Table.from_csv((tmp_path / "gradients.csv").read_text())
    assert table["epoch"] == [1, 2]
    names = {"0.weight", "0.bias", "3.weight", "3.bias", "7.weight", "7.bias"}
    names |= {"9.weight", "9.bias"}
    assert set(table) == {"epoch", *names}
    assert all(0 < norm < math.inf for name in names for norm in table[name])
    header = (tmp_path / "gradients.csv").read_text().splitlines()[0]
    (tmp_path / "gradients.csv").write_text(header + "\n")
    with pytest.raises(ValueError, match=r"has finished no epoch: gradients\.csv is empty"):
        _ = Saved(tmp_path).gradients
    assert main([*run, "--replace"]) == 0
    assert not (tmp_path / "gradients.csv").exists()


def test_tables_survive_a_file():
    history = History({"epoch": [1, 2], "loss": [0.1, 1 / 3], "extra": [1.5, 2.5]})
    again = History.from_csv(history.to_csv())
    assert dict(again) == dict(history)
    assert isinstance(again, History) and again.epochs == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no column 'epoch'"),
        ("loss\n1\n", "names no column 'epoch'"),
        ("epoch,loss\n1,2\n3\n", "line 3 does not hold 2 numbers"),
        ("epoch,loss\n1,much\n", "line 2 does not hold 2 numbers"),
        ("epoch,loss\n1,2\n2,inf\n", "line 3 holds a number that is not finite"),
        ("epoch,loss\n1,nan\n", "line 2 holds a number that is not finite"),
        ("epoch,loss\n1.5,2\n", "its column 'epoch' must hold whole numbers"),
        ("epoch,loss\n1," + "9" * 2**20 + "\n", "it is not a table: field larger"),
    ],
)
def test_a_table_that_is_none(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Table.from_csv(text)
