"""Arrays of every make: the same bits as from ordinary ones, none of them changed, or refused."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, datasets, layers, models
from fastcnn.layers import Layer
from fastcnn.optim import Adam, Lookahead

NUMBERS = np.random.default_rng(0)
ROWS, IMAGES, SERIES = (
    NUMBERS.normal(size=shape).astype(np.float32) for shape in [(5, 6), (2, 4, 6, 6), (2, 4, 9)]
)
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # np.matrix


class Own(np.ndarray):
    """An array of a class of somebody's own."""


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _unaligned(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def _backward(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.flip(x))[(slice(None, None, -1),) * x.ndim]


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "read-only": _read_only,
    "backward": _backward,
    "Fortran": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "unaligned": _unaligned,
    "own": lambda x: x.copy().view(Own),
    "masked nowhere": lambda x: np.ma.array(x.copy()),
    "matrix": lambda x: np.matrix(x) if x.ndim == 2 else x.copy(),
}

CASES: list[tuple[Layer, np.ndarray]] = [
    *((layer, ROWS) for layer in (
        layers.Dense(6, 3), layers.BatchNorm(6), layers.GroupNorm(2, 6), layers.ReLU(),
        layers.PReLU(6), layers.GELU(), layers.Softmax(), layers.Flatten(), layers.Dropout(0.0),
        layers.SpatialDropout(0.0), layers.Reshape((2, 3)), layers.Residual([layers.Dense(6, 6)]),
    )),
    *((layer, IMAGES) for layer in (
        layers.Conv2D(4, 3, 3), layers.ConvTranspose2D(4, 3, 3), layers.MaxPool2D(2),
        layers.AveragePool2D(2), layers.AdaptiveMaxPool2D(4), layers.BatchNorm(4),
        layers.InstanceNorm(4), layers.Pad(1), layers.Upsample(2), layers.PixelShuffle(2),
        layers.Flatten(), layers.GlobalAveragePool2D(), layers.LogSoftmax(),
        layers.Residual([layers.Conv2D(4, 4, 3, padding=1)]), layers.Concatenate([layers.ReLU()]),
    )),
    *((layer, SERIES) for layer in (
        layers.Conv1D(4, 3, 3), layers.MaxPool1D(2), layers.Dropout(0.0), layers.Sigmoid(),
    )),
]  # fmt: skip


def passes(layer: Layer, x: np.ndarray, dy: np.ndarray) -> list[Any]:
    given = layer.forward(x), layer.forward(x, training=True), layer.backward(dy)
    assert all(type(array) is np.ndarray for array in given)
    return [array.copy() for array in (*given, *layer.grads.values())]


@pytest.mark.parametrize(("layer", "x"), CASES, ids=[f"{each}, {x.ndim}" for each, x in CASES])
def test_layers_give_the_same_for_arrays_of_every_make(layer: Layer, x: np.ndarray) -> None:
    state = {name: array.copy() for name, array in layer.state.items()}
    dy = NUMBERS.normal(size=layer.forward(x).shape).astype(np.float32)
    expected = passes(layer, x.copy(), dy.copy())
    for form, make in FORMS.items():
        layer.state.update(state)
        given, gradient = make(x), make(dy)
        for got, wanted in zip(passes(layer, given, gradient), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=form)
        np.testing.assert_array_equal(np.asarray(given), x, err_msg=form)
        np.testing.assert_array_equal(np.asarray(gradient), dy, err_msg=form)


def test_a_file_that_is_mapped_is_read_and_never_written(tmp_path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    before = (tmp_path / "x.npy").read_bytes()
    model = Sequential(
        layers.ReLU(), layers.BatchNorm(4), layers.ReLU(), layers.Dropout(0.5), layers.MaxPool2D(2),
        layers.Flatten(), layers.Dense(36, 3), seed=1,
    )  # fmt: skip
    for mode in ("r", "r+", "c"):
        x = np.load(tmp_path / "x.npy", mmap_mode=mode)
        for training in (False, True):
            y = model.forward(x, training=training)
            assert type(y) is np.ndarray
        model.backward(np.ones_like(y))
        model.predict(x)
        model.train(x, [0, 1], epochs=1, batch_size=2, progress=False)
        x.flush()
        np.testing.assert_array_equal(x, IMAGES)
    assert (tmp_path / "x.npy").read_bytes() == before


@pytest.mark.parametrize("layer", [layers.ReLU(), layers.Conv2D(4, 2, 1), layers.Dropout(0.5)])
def test_masked_values_are_refused_on_the_way_back_too(layer: Layer) -> None:
    dy = np.ma.array(layer.forward(IMAGES, training=True).copy())
    dy[1, 0, 2, 3] = np.ma.masked
    said = (
        f"{layer.name}: the gradient for backward: 1 of {dy.size} values are masked, the first at"
    )
    with pytest.raises(ValueError, match=re.escape(f"{said} [1, 0, 2, 3]")):
        layer.backward(dy)


def test_dropout_takes_no_number_alone() -> None:
    for training in (False, True):
        with pytest.raises(ValueError, match=r"^Dropout\(0.5\): expected a batch of at least one"):
            layers.Dropout(0.5).forward(np.array(1, np.float32), training)


@pytest.mark.parametrize(("layer", "x"), CASES, ids=lambda part: getattr(part, "name", ""))
def test_layers_are_made_and_run_where_numpy_raises(layer: Layer, x: np.ndarray) -> None:
    """As scripts ask for with np.seterr(all="raise"): underflow, too, is an error then."""
    with np.errstate(all="raise"):
        made = layers.from_spec(layer.spec())
        y = made.forward(x, training=True)
        made.backward(np.full_like(y, 1e-40))


def test_models_are_trained_where_numpy_raises() -> None:
    with np.errstate(all="raise"):
        data = datasets.load("digits")
        model = models.build("mnist-optimized", norm="group", activation="gelu", init="normal")
        lookahead = Lookahead(Adam(1e-3))
        model.train(data.x_train[:64], data.y_train[:64], optimizer=lookahead, epochs=1)
        model.predict_proba(data.x_test[:5])
