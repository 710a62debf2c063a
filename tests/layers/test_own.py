"""Layers of one's own: which class a file means, and what is said of usual mistakes."""

import copy
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, layers, load_model
from fastcnn.layers import (
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GroupNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    from_spec,
)
from fastcnn.network.checkpoint import CheckpointError

from . import own_other

X = np.random.default_rng(17).normal(size=(3, 4)).astype(np.float32)


class Slope(LeakyReLU):
    """A name that another module has, too."""


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    """The file with another header."""
    with np.load(path) as file:
        members = dict(file)
    header = change(members["header"].tobytes().decode())
    json.loads(header)
    members["header"] = np.frombuffer(header.encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **members)


# --- which class a file means -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ReLU, own_other.ReLU, Slope, own_other.Slope])
@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: Residual([layer])])
def test_every_class_comes_back_as_itself(kind: Any, wrap: Any, tmp_path: Path) -> None:
    model = Sequential(Dense(4, 4), wrap(kind()))
    model.save(tmp_path / "model.npz")
    for twin in (
        load_model(tmp_path / "model.npz"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        layer = twin.layers[1]
        assert type(layer.main[0] if isinstance(layer, Residual) else layer) is kind
        np.testing.assert_array_equal(twin.forward(X), model.forward(X))


def test_a_name_of_a_built_in_layer_changes_no_file(tmp_path: Path) -> None:
    Sequential(Dense(4, 4), ReLU()).save(tmp_path / "model.npz")
    expected = load_model(tmp_path / "model.npz").forward(X)

    class Dense_(Dense):
        pass

    Dense_.__name__ = Dense_.__qualname__ = "Dense"
    for name in ("ReLU", "Dense"):
        type(name, (Layer,), {"forward": lambda self, x, training=False: 0 * x})
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").forward(X), expected)
    assert from_spec({"type": "ReLU"}).__class__ is ReLU


def test_files_name_the_module(tmp_path: Path) -> None:
    assert Slope().spec()["type"] == "tests.layers.test_own:Slope"
    assert own_other.ReLU().spec()["type"] == "tests.layers.own_other:ReLU"
    assert ReLU().spec()["type"] == "ReLU"


class Times(Layer):
    """Has an argument that it does not tell."""

    def __init__(self, factor: float = 3, *more: float, seed: int = 0, **options: float) -> None:
        super().__init__()
        self.factor = np.float32(factor)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x * self.factor

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy * self.factor


class Needs(Times):
    """Cannot be made without one."""

    def __init__(self, factor: float) -> None:
        super().__init__(factor)


class Knows(Needs):
    """Tells it."""

    def arguments(self) -> dict[str, Any]:
        return {"factor": float(self.factor)}


class Otherwise(Needs):
    """Tells it under another name."""

    def arguments(self) -> dict[str, Any]:
        return {"by": float(self.factor)}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Layer:
        return cls(arguments["by"])


@pytest.mark.parametrize("make", [lambda: Times(5), lambda: Times(factor=5), lambda: Needs(5)])
@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: Residual([layer])])
def test_arguments_that_are_not_told_are_not_lost_in_silence(
    make: Any, wrap: Any, tmp_path: Path
) -> None:
    model = Sequential(Dense(4, 4), wrap(make()))
    lost = r"was given factor=5, which its arguments\(\) does not tell"
    for use in (
        copy.deepcopy,
        pickle.dumps,
        lambda model: model.save(tmp_path / "own.npz"),
        lambda model: model.compile_for_inference(),
    ):
        with pytest.raises(ValueError, match=lost):
            use(model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "layer", [Times(), Times(3), Times(seed=7), Knows(5), Otherwise(5)], ids=repr
)
def test_arguments_that_are_told_or_do_not_matter(layer: Any, tmp_path: Path) -> None:
    model = Sequential(Dense(4, 4), layer)
    model.save(tmp_path / "own.npz")
    for again in (load_model(tmp_path / "own.npz"), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.forward(X), model.forward(X))


def test_two_classes_of_one_name_in_one_function_are_refused(tmp_path: Path) -> None:
    def make(slope: float) -> type[Layer]:
        class Own(LeakyReLU):
            def __init__(self) -> None:
                super().__init__(slope)

        return Own

    first, second = make(0.1), make(0.2)
    Sequential(second()).save(tmp_path / "model.npz")
    for use in (
        lambda: Sequential(first()).save(tmp_path / "other.npz"),
        lambda: copy.deepcopy(first()),
    ):
        with pytest.raises(ValueError, match="two classes are called tests"):
            use()
    assert not (tmp_path / "other.npz").exists()


def test_a_class_that_a_notebook_defines_again_is_the_same(tmp_path: Path) -> None:
    code = "class Again(LeakyReLU):\n    '''defined by a cell'''\n"
    names: dict[str, Any] = {"LeakyReLU": LeakyReLU, "__name__": "a_notebook"}
    exec(code, names)
    model = Sequential(names["Again"](0.3))
    exec(code, names)
    model.save(tmp_path / "model.npz")
    assert type(load_model(tmp_path / "model.npz").layers[0]) is names["Again"]


def test_files_of_version_0_1(tmp_path: Path) -> None:
    """They name the class alone."""
    path = tmp_path / "model.npz"
    once = type("Once", (LeakyReLU,), {"__module__": "someone.layers"})
    Sequential(Dense(4, 4), once(0.3)).save(path)
    rewritten(path, lambda header: header.replace("someone.layers:Once", "Once"))
    assert type(load_model(path).layers[1]) is once
    Sequential(Dense(4, 4), Slope()).save(path)
    rewritten(path, lambda header: header.replace("tests.layers.test_own:Slope", "Slope"))
    with pytest.raises(CheckpointError, match="several classes are called Slope: tests"):
        load_model(path)
    Sequential(Dense(4, 4), own_other.ReLU()).save(path)
    rewritten(path, lambda header: header.replace("tests.layers.own_other:ReLU", "ReLU"))
    assert type(load_model(path).layers[1]) is ReLU


def test_a_script_s_own_class_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    single = type("Single", (LeakyReLU,), {"__module__": "one.module"})
    Sequential(single(0.3)).save(path)
    rewritten(path, lambda header: header.replace("one.module:", "__main__:"))
    assert type(load_model(path).layers[0]) is single


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("mylab.layers:Scale", "no layer Scale of mylab.layers; import mylab.layers first"),
        ("os:system", "the module os is imported, but defines no such layer"),
        ("__main__:Nobody", "define or import a class Nobody first"),
        ("antigravity:Layer", "import antigravity first"),
        ("os.system", "there is no layer 'os.system'"),
        (":", "there is no layer"),
    ],
)  # fmt: skip
def test_nothing_in_a_file_is_imported(kind: str, message: str, tmp_path: Path) -> None:
    path, before = tmp_path / "model.npz", set(sys.modules)
    Sequential(Slope()).save(path)
    rewritten(path, lambda header: header.replace("tests.layers.test_own:Slope", kind))
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_model(path)
    assert set(sys.modules) == before


def test_what_is_missing_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process: the sentence, then the import that it asks for."""
    (tmp_path / "mylab.py").write_text(
        "from fastcnn.layers import LeakyReLU\nclass Mine(LeakyReLU):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("mylab").Mine
    Sequential(mine(0.3)).save(tmp_path / "model.npz")
    (tmp_path / "pickled").write_bytes(pickle.dumps(Sequential(Residual([mine(0.3)]))))
    script = (
        "import pickle, sys\n"
        "from fastcnn import load_model\n"
        "try:\n    load_model('model.npz')\n"
        "except ValueError as error:\n    print(str(error).partition('; ')[2])\n"
        "assert 'mylab' not in sys.modules\n"
        "print(pickle.loads(open('pickled', 'rb').read()))\n"  # which imports what it needs
        "print(load_model('model.npz').layers[0])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
    )  # fmt: skip
    assert run.stdout.splitlines() == [
        "import mylab first",
        "Sequential(Residual([Mine(0.3)]))",
        "Mine(0.3)",
    ], run.stderr


# --- usual mistakes -----------------------------------------------------------------------------


class Pass(Layer):
    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.check_input(x)
        return x


@pytest.mark.parametrize("own", [Pass, lambda: Residual([Pass(), Pass()])])
@pytest.mark.parametrize("then", [Flatten, lambda: Conv2D(2, 4, 3), lambda: MaxPool2D(2, 1)])
def test_what_a_layer_hands_on_is_not_written_over(own: Any, then: Any) -> None:
    """A layer of one's own may give what it was given: the next one needs other memory."""
    row = [Conv2D(2, 2, 3, padding=1), own(), Pass(), then(), Pass(), LeakyReLU(0.5), Flatten()]
    y = x = np.random.default_rng(1).normal(size=(3, 2, 6, 6)).astype(np.float32)
    for layer in row:
        y = layer.forward(y)
    np.testing.assert_array_equal(Sequential(*row, seed=None).forward(x), y)


class Loose(Pass):
    def __init__(self) -> None:
        super().__init__()
        self.weight = np.ones(4)


class InAList(Pass):
    def __init__(self) -> None:
        super().__init__()
        self.parts = [np.ones(4, np.float32)]


class Assigned(Pass):
    def __init__(self) -> None:
        super().__init__()
        self.params["weight"] = np.ones(4)


class Constant(Pass):
    def __init__(self) -> None:
        super().__init__()
        self._table, self.places = np.ones(4), np.arange(3)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Sequential(Loose()), "Loose(): self.weight is neither trained nor saved; name"),
        (lambda: Sequential(Residual([InAList()])), "self.parts is neither trained nor saved"),
        (lambda: Loose().forward(X), "parameter_shapes() and use self.params['weight']"),
        (lambda: Assigned(), "a layer of one's own names its arrays in parameter_shapes()"),
    ],
)  # fmt: skip
def test_weights_in_the_wrong_place(use: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        use()


def test_constants_are_nobody_s_business() -> None:
    np.testing.assert_array_equal(Sequential(Constant()).forward(X), X)


FOREIGN: list[tuple[Callable[[], Any], str]] = [
    (lambda: MaxPool2D(kernel_size=2), "MaxPool2D has no argument 'kernel_size'; here it is"),
    (lambda: MaxPool2D(2, strides=2), "here it is called 'stride'"),
    (lambda: MaxPool2D(2, return_indices=True), "the layer remembers them by itself"),
    (lambda: AveragePool2D(2, kernel_size=2), "here it is called 'pool_size'"),
    (lambda: Conv2D(1, 2, 3, padding_mode="zeros"), "leave it out: padding is zeros"),
    (lambda: Conv2D(1, filters=2, kernel_size=3), "here it is called 'out_channels'"),
    (lambda: Conv2D(1, 2, pool_size=3), "here it is called 'kernel_size'"),
    (lambda: Conv2D(1, 2, 3, dilation_rate=2), "here it is called 'dilation'"),
    (lambda: Conv2D(1, 2, 3, activation="relu"), "put a layer behind it, such as ReLU()"),
    (lambda: Conv2D(1, 2, 3, use_bias=False), "here it is called 'bias'"),
    (lambda: Dense(4, units=2), "here it is called 'out_features'"),
    (lambda: Dense(4, 2, device="cpu"), "everything runs on the CPU"),
    (lambda: Dense(4, 2, input_shape=(4,)), "Sequential(..., input_shape=...)"),
    (lambda: ReLU(inplace=True), "a model uses its memory again by itself; its arguments are"),
    (lambda: LeakyReLU(negative_slope=0.1), "here it is called 'alpha'"),
    (lambda: Dropout(p=0.5), "Dropout has no argument 'p'; here it is called 'rate'"),
    (lambda: BatchNorm(4, epsilon=1), "here it is called 'eps'"),
    (lambda: BatchNorm(4, affine=False), "gamma and beta are always there"),
    (lambda: GroupNorm(2, num_features=4), "here it is called 'num_channels'"),
    (lambda: GroupNorm(groups=2, num_channels=4), "here it is called 'num_groups'"),
    (lambda: LayerNorm(normalized_shape=4), "here it is called 'num_features'"),
    (lambda: Flatten(start_dim=1), "Flatten has no argument 'start_dim'"),
    (lambda: Concatenate(layer=[]), "did you mean 'layers'?"),
    (lambda: Slope(negative_slope=2), "Slope has no argument 'negative_slope'; here it is called"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), FOREIGN, ids=[message for _, message in FOREIGN])
def test_arguments_that_other_libraries_have(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def test_every_layer_answers_every_foreign_name() -> None:
    """What one has by that name is taken, what it has not is answered; never Python's own words."""
    from fastcnn import foreign

    for name in layers.__all__:
        kind = getattr(layers, name)
        if not isinstance(kind, type) or kind is Layer:
            continue
        for argument in {*foreign._OURS, *foreign._DONE} - set(foreign._arguments(kind) or ()):
            with pytest.raises(TypeError, match=f"{name} has no argument '{argument}'; "):
                kind(**{argument: 1})


class Anything(Pass):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


def test_a_layer_that_takes_anything_is_left_alone() -> None:
    assert Anything(kernel_size=3).options == {"kernel_size": 3}


def test_what_a_class_does_not_define_is_named() -> None:
    class Half(Layer):
        def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
            return x / 2

    model = Sequential(Dense(3, 4), Half(), Dense(4, 2))
    assert model.predict(np.ones((5, 3), np.float32)).shape == (5,)
    with pytest.raises(NotImplementedError, match=r"Half\(\): its class defines no backward\(dy\)"):
        model.train(np.ones((5, 3)), np.arange(5) % 2, epochs=1)
    with pytest.raises(NotImplementedError, match=r"its class defines no forward\(x, training"):
        Layer().forward(np.ones((5, 3), np.float32))


class Wrong(Layer):
    """Gives what it is told to."""

    def __init__(self, y: Any = None, dx: Any = None) -> None:
        super().__init__()
        self._y, self._dx = y, dx

    def forward(self, x: np.ndarray, training: bool = False) -> Any:
        return x if self._y is None else self._y(x)

    def backward(self, dy: np.ndarray) -> Any:
        return dy if self._dx is None else self._dx(dy)


class Says(Wrong):
    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (input_shape[0], 7)


@pytest.mark.parametrize("y", [lambda x: print(), lambda x: x[:, :2], lambda x: x[:1]])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6), (18,)])
def test_images_are_not_to_be_turned_where_a_layer_is_wrong(y: Any, shape: Any) -> None:
    x = np.ones((5, *shape), np.float32)
    model = Sequential(Flatten(), Dense(x[0].size, 4), Wrong(y=y), Dense(4, 2))
    for use in (model.forward, lambda x: model.train(x, np.arange(5) % 2, epochs=1)):
        with pytest.raises(ValueError, match=r"Wrong|Dense") as said:
            use(x)
        assert "try" not in str(said.value) and "transpose" not in str(said.value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Wrong(y=lambda x: print()), r"Wrong\(\): its forward must give an array .* got None"),
        (Wrong(y=list), r"forward must give .* each of the 5 samples of x \(5, 4\), got a list"),
        (Wrong(y=lambda x: x[:3]), r"Wrong\(\): its forward must .* got shape \(3, 4\)"),
        (Wrong(y=lambda x: x.sum()), "Wrong.*forward must give .* got a float32"),
        (Says(), r"Says\(\): its output_shape says \(5, 7\) .* forward gives shape \(5, 4\)"),
        (Wrong(dx=lambda dy: print()), r"backward must give .* of shape \(5, 4\), got None"),
        (Wrong(dx=lambda dy: dy.T), r"Wrong\(\): its backward must .* got shape \(4, 5\)"),
    ],
)
def test_who_gives_what_cannot_be_right_is_named(layer: Layer, message: str) -> None:
    x, y = np.ones((5, 3), np.float32), np.arange(5) % 2
    width = 7 if isinstance(layer, Says) else 4
    for behind in ([Dense(width, 2)], [ReLU(), Dense(width, 2)]):
        with pytest.raises(ValueError, match=message):
            Sequential(Dense(3, 4), layer, *behind).train(x, y, epochs=1)


def test_the_first_layer_need_give_no_gradient() -> None:
    x, y = np.ones((5, 4), np.float32), np.arange(5) % 2
    model = Sequential(Wrong(dx=lambda dy: print()), Dense(4, 2))
    assert model.train(x, y, epochs=1).epochs == 1


def test_a_constructor_that_leaves_out_the_one_above() -> None:
    class Alone(Layer):
        def __init__(self) -> None:
            self.factor = 2

    for use in (lambda: Sequential(Dense(3, 4), Alone()), lambda: Alone().params):
        with pytest.raises(AttributeError, match=r"Alone has no '\w+': its __init__ must call sup"):
            use()
    with pytest.raises(AttributeError, match="'Pass' object has no attribute 'weigth'"):
        _ = Pass().weigth  # type: ignore[attr-defined]
