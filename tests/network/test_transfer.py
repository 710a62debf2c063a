"""Loading what fits, freezing layers, a new last layer."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, backend, load_model, models, optim
from fastcnn.layers import (
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
)
from fastcnn.losses import CrossEntropyLoss
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.network.transfer import load_fitting
from tests.gradient_check import check_gradient

RNG = np.random.default_rng(6)
X = RNG.normal(size=(6, 2, 8, 8)).astype(np.float32)
Y = np.arange(6) % 3
IMAGES = RNG.integers(0, 256, (40, 2, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 3


def build(classes: int = 3, seed: int = 42) -> Sequential:
    """Every group of layers that runs as one step, and both containers."""
    block = Residual(
        [Conv2D(6, 6, 3, padding=1, bias=False), BatchNorm(6)],
        shortcut=[Conv2D(6, 6, 1)],
        activation=ReLU(),
    )
    return Sequential(
        Conv2D(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Conv2D(4, 5, 3, padding=1),
        BatchNorm(5), ReLU(), MaxPool2D(2), Concatenate([BatchNorm(5), ReLU(), Conv2D(5, 1, 1)]),
        block, Flatten(), Dense(24, 7), BatchNorm(7), ReLU(), Dense(7, classes), seed=seed,
    )  # fmt: skip


def step(model: Sequential, optimizer: optim.Optimizer) -> float:
    loss = CrossEntropyLoss()
    value = loss.forward(model.forward_training(X), Y)
    model.backward_training(loss.backward())
    optimizer.step(model)
    return value


def bits(model: Sequential) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.named_arrays()}


def is_under(name: str, path: str) -> bool:
    return name.startswith(f"{path}.")


OPTIMIZERS = {
    "sgd": lambda: optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda: optim.Adam(0.1, weight_decay=0.1),
    "adamw": lambda: optim.AdamW(0.1, weight_decay=0.1),
    "rmsprop": lambda: optim.RMSprop(0.1, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda: optim.AdaGrad(0.1, weight_decay=0.1),
    "radam": lambda: optim.RAdam(0.1, weight_decay=0.1),
    "lookahead": lambda: optim.Lookahead(optim.SGD(0.1, momentum=0.9), k=2),
    "ranger": lambda: optim.Ranger(0.1, weight_decay=0.1, k=2),
}


# --- freezing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(
    "frozen", [["0"], ["4"], ["0", "3", "7", "10"], ["8"], ["13"], ["0", "4", "8", "11"]], ids=str
)
def test_frozen_layers_keep_their_bits(frozen: list[str], kind: str) -> None:
    """Weight decay, momentum and what was kept from steps before included."""
    model, optimizer = build(), OPTIMIZERS[kind]()
    step(model, optimizer)
    for path in frozen:
        model.layers[int(path)].trainable = False
    before = bits(model)
    state = {name: array.copy() for name, array in optimizer.state_arrays().items()}
    for _ in range(3):
        step(model, optimizer)
    for name, array in bits(model).items():
        is_frozen = any(is_under(name, path) for path in frozen)
        assert (array == before[name]) is is_frozen, name
    for name, place in model.parameters.slices.items():
        if any(is_under(name, path) for path in frozen):
            for kept in state.keys() - {"steps"}:
                now = optimizer.state_arrays()[kept]
                np.testing.assert_array_equal(now[place], state[kept][place])


def test_thawed_layers_are_trained_again() -> None:
    model, optimizer = build(), OPTIMIZERS["adam"]()
    model.freeze(9)
    step(model, optimizer)
    assert model.frozen == (
        *"0123456", "7.layers.0", "7.layers.1", "7.layers.2",
        "8.main.0", "8.main.1", "8.shortcut.0", "8.activation",
    )  # fmt: skip
    model.freeze(0)
    assert model.frozen == ()
    before = bits(model)
    step(model, optimizer)
    assert all(array != before[name] for name, array in bits(model).items())


@pytest.mark.parametrize("kind", ["adam", "radam", "ranger"])
def test_a_run_with_thawed_layers_goes_on_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    def run(*runs: dict[str, Any]) -> Sequential:
        model, optimizer = build(), OPTIMIZERS[kind]()
        model.freeze(9)
        model.train(IMAGES, LABELS, optimizer=optimizer, epochs=2, progress=False)
        model.freeze(0)
        for options in runs:
            again = copy.deepcopy(optimizer)
            model.train(IMAGES, LABELS, optimizer=again, progress=False, **options)
        return model

    saved = {"checkpoint_path": tmp_path / "last.npz"}
    parts = run({"epochs": 1, **saved}, {"epochs": 3, "resume_from": tmp_path / "last.npz"})
    assert bits(run({"epochs": 3})) == bits(parts)


def test_gradients_before_a_frozen_middle_are_those_without_freezing() -> None:
    """Without BatchNorm, freezing changes no gradient of the others."""
    layers = lambda: (  # noqa: E731
        Conv2D(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Conv2D(4, 6, 3), MaxPool2D(2),
        Residual([Conv2D(6, 6, 1)]), Concatenate([Conv2D(6, 2, 1)]), Flatten(), Dense(8, 3),
    )  # fmt: skip
    free, frozen = Sequential(*layers()), Sequential(*layers())
    for place in (3, 5, 6):
        frozen.layers[place].trainable = False
    for model in (free, frozen):
        step(model, optim.SGD(0.0))
    for name, place in free.parameters.slices.items():
        expected = free.parameters.gradients[place]
        if name.split(".")[0] in "356":
            assert expected.any()
            expected = np.zeros_like(expected)
        np.testing.assert_array_equal(frozen.parameters.gradients[place], expected, name)


@pytest.mark.parametrize("name", ["numba", "im2col"])
def test_a_frozen_norm_uses_its_running_statistics(name: str) -> None:
    """Alone, before ReLU, before pooling, at the end of a residual block: as when measuring."""
    block = [Conv2D(3, 3, 1), BatchNorm(3)]
    rows: list[list[Layer]] = [
        [BatchNorm(2)],
        [BatchNorm(2), ReLU()],
        [Conv2D(2, 3, 3), BatchNorm(3), MaxPool2D(2), ReLU()],
        [Conv2D(2, 3, 1), Residual(block, activation=ReLU())],
        [Flatten(), BatchNorm(128), ReLU()],
    ]
    for row in rows:
        model = Sequential(*row).astype(np.float64)
        for _, leaf in model._row.leaves():
            if isinstance(leaf, BatchNorm):
                leaf.trainable = False
                for arrays in (leaf.params, leaf.state):
                    for array in arrays.values():
                        array[...] = RNG.uniform(0.5, 2, array.shape)
        x, before = X[:2].astype(np.float64), bits(model)
        with backend(name):
            y = model.forward(x, training=True)
            np.testing.assert_array_equal(y, model.forward(x))
            dy = RNG.normal(size=y.shape)
            model.forward(x, training=True)
            dx = model.backward(dy)
            check_gradient(
                lambda m=model, x=x: m.forward(x, training=True), {"x": x}, dy, {"x": dx}
            )
        assert bits(model) == before


def test_backward_ends_at_the_first_layer_that_is_trained(monkeypatch: Any) -> None:
    model, called = build(), []
    for place, layer in enumerate(model.layers):
        original = layer.backward

        def noted(dy: np.ndarray, place: int = place, original: Any = original) -> np.ndarray:
            called.append(place)
            return original(dy)

        monkeypatch.setattr(layer, "backward", noted)
    model.freeze("all-but-last")
    step(model, optim.SGD(0.1))
    assert called == [13]


@pytest.mark.parametrize("mode", ["global", "array"])
def test_frozen_gradients_do_not_count_for_clipping(mode: str) -> None:
    """Even if a layer of one's own fills them."""

    class Filling(Dense):
        def backward(self, dy: np.ndarray) -> np.ndarray:
            dx = super().backward(dy)
            self.grads["weight"] = np.full(self.grads["weight"].shape, 1e6)
            return dx

    results = []
    for kind in (Dense, Filling):
        model = Sequential(Flatten(), Dense(128, 5), ReLU(), kind(5, 5), ReLU(), Dense(5, 3))
        model.layers[3].trainable = False
        model.train(IMAGES, LABELS, epochs=1, clip_norm=0.01, clip_mode=mode)
        results.append(bits(model))
    assert results[0] == results[1]


def test_frozen_layers_in_files_copies_and_resumed_runs(tmp_path: Path) -> None:
    model = build()
    model.freeze(8)
    model.layers[11].trainable = False
    frozen = model.frozen
    model.save(tmp_path / "model.npz")
    for twin in (load_model(tmp_path / "model.npz"), copy.deepcopy(model)):
        assert twin.frozen == frozen
        assert twin.layers[7].trainable is twin.layers[11].trainable is False
    assert not copy.deepcopy(model.layers[7]).trainable

    options: dict[str, Any] = {"batch_size": 16, "clip_norm": 0.5}
    whole, part = copy.deepcopy(model), copy.deepcopy(model)
    whole.train(IMAGES, LABELS, epochs=3, optimizer=optim.Adam(), **options)
    path = tmp_path / "last.npz"
    part.train(IMAGES, LABELS, epochs=2, optimizer=optim.Adam(), checkpoint_path=path, **options)
    resumed = copy.deepcopy(model)
    resumed.train(IMAGES, LABELS, epochs=3, optimizer=optim.Adam(), resume_from=path, **options)
    assert bits(resumed) == bits(whole) != bits(part)
    with pytest.raises(CheckpointError, match=r"frozen layers 0, 1, .*, 11, not none"):
        build().train(IMAGES, LABELS, epochs=3, optimizer=optim.Adam(), resume_from=path)


def test_summary_counts_what_is_frozen() -> None:
    model = build()
    assert "frozen" not in model.summary()
    model.freeze("all-but-last")
    total, head = model.parameters.count, 7 * 3 + 3
    assert model.summary().splitlines()[-1].split() == ["frozen", f"{total - head}"]
    assert model.parameters.trained_count == head


def test_an_optimizer_of_layers_leaves_the_frozen_ones() -> None:
    layers = [Dense(4, 3), Dense(3, 2)]
    layers[0].trainable = False
    before = [layer.copy_arrays() for layer in layers]
    for layer in layers:
        layer.grads["weight"] = np.ones(layer.grads["weight"].shape)
    optim.SGD(1.0).step(layers)
    np.testing.assert_array_equal(layers[0].params["weight"], before[0]["weight"])
    np.testing.assert_array_equal(layers[1].params["weight"], before[1]["weight"] - 1)


def test_freezing_what_there_is_not() -> None:
    model = build()
    for wrong in (15, -1, "all", 2.0, True):
        with pytest.raises(ValueError, match="freeze: "):
            model.freeze(wrong)  # type: ignore[arg-type]
    assert model.frozen == ()
    with pytest.raises(ValueError, match="the model has no layer with parameters"):
        Sequential(ReLU()).freeze("all-but-last")
    with pytest.raises(ValueError, match=r"Dense\(2, 3\): trainable must be True or False, got 1"):
        Dense(2, 3).trainable = 1  # type: ignore[assignment]
    model.freeze(14)
    with pytest.raises(ValueError, match="there is nothing to train: freeze fewer"):
        model.train(IMAGES, LABELS)


# --- loading what fits --------------------------------------------------------------------------


def test_what_fits_is_loaded_and_said(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    source, target = build(seed=1), build(classes=4, seed=2)
    step(source, optim.SGD(0.1))
    source.save(path)
    before, stored = target.copy_arrays(), source.copy_arrays()
    loaded = target.load_fitting(path)
    head = {"13.weight", "13.bias"}
    assert set(loaded.left) == head
    assert set(loaded.taken) == set(stored) - head
    for name, array in target.named_arrays():
        np.testing.assert_array_equal(array, (before if name in head else stored)[name])
    assert str(loaded) == (
        f"from {path}: {len(stored) - 2} of {len(stored)} arrays loaded; not loaded: "
        f"13.weight ((7, 3) in the file, (7, 4) here), 13.bias ((3,) in the file, (4,) here)"
    )
    assert "nothing" not in str(loaded)


def test_other_networks_and_dtypes(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    build(seed=1).save(path)
    target = Sequential(Conv2D(2, 4, 3, bias=False), Dense(4, 3)).astype(np.float64)
    loaded = load_fitting(target, path)
    assert loaded.taken == ("0.weight",)
    assert loaded.left["1.weight"] == "not in the file, (4, 3) here"
    assert "0.bias (4,)" in loaded.unused
    assert target.layers[0].params["weight"].dtype == np.float64
    assert re.search(r"only in the file: 0\.bias \(4,\), .* and \d+ more$", str(loaded))


def test_nothing_fits(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    build().save(path)
    model = Sequential(Dense(5, 5))
    before = bits(model)
    with pytest.raises(
        CheckpointError, match=r"nothing in .* fits this model, whose first array is 0"
    ):
        model.load_fitting(path)
    assert bits(model) == before
    with pytest.raises(CheckpointError, match="there is no file"):
        model.load_fitting(tmp_path / "absent.npz")
    with pytest.raises(CheckpointError, match=r"cannot be read: it is a folder$"):
        model.load_fitting(tmp_path)
    path.rename(tmp_path / "best.npz")
    with pytest.raises(CheckpointError, match=r"it is a folder; name .*best\.npz$"):
        model.load_fitting(tmp_path)


@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_numbers_that_are_not_finite_are_refused(number: float, tmp_path: Path) -> None:
    source, model = build(), build()
    name, array = [*source.named_arrays()][-1]
    array[...] = number
    source.save(tmp_path / "lost.npz")
    before = bits(model)
    with pytest.raises(CheckpointError, match=rf"lost.npz holds infinite .* in {name}: load an"):
        model.load_fitting(tmp_path / "lost.npz")
    assert bits(model) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--source digits --target absent", "there is no dataset 'absent'"),
        ("--source digits --model absent", "there is no model 'absent'"),
        ("--source mnist", "there is no folder "),
    ],
)
def test_the_example_refuses_in_a_sentence(tmp_path: Path, arguments: str, sentence: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "transfer.py"
    nowhere = {**os.environ, "FASTCNN_DATA": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, str(example), "--target", "digits", *arguments.split()],
        capture_output=True, text=True, env=nowhere,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sentence}") and done.stderr.count("\n") == 1
    assert "--source, --target" in done.stderr and "--dataset" not in done.stderr


# --- a new head ---------------------------------------------------------------------------------


def test_a_new_head() -> None:
    model = build()
    model.class_names = ("a", "b", "c")
    step(model, optim.SGD(0.1))
    model.freeze("all-but-last")
    before = bits(model)
    model.replace_head(5)
    head = model.layers[-1]
    assert head.params["weight"].shape == (7, 5)
    assert head.params["weight"].any()
    assert head.trainable
    assert model.class_names is None
    assert {k: v for k, v in before.items() if not k.startswith("13")} == {
        k: v for k, v in bits(model).items() if not k.startswith("13")
    }
    step(model, optim.SGD(0.1))
    assert model.predict_proba(X).shape == (6, 5)
    model.replace_head(2, ["yes", "no"])
    assert model.class_names == ("yes", "no")
    with pytest.raises(ValueError, match="replace_head: classes must be a whole number above 0"):
        model.replace_head(0)
    with pytest.raises(ValueError, match=r"the last layer must be a Dense, got Conv2D\(1, 2, ker"):
        Sequential(Conv2D(1, 2, 3)).replace_head(3)


def test_a_new_head_of_a_named_model_is_the_one_it_would_have_begun_with() -> None:
    model = models.build("lenet5", classes=7)
    before = bits(model)
    model.replace_head(4)
    model.replace_head(7)
    assert bits(model) == before
