"""Keras models and ours compute the same; skipped where Keras or a backend of it is absent."""

import importlib.util
import os
import re
import warnings

import numpy as np
import pytest

from fastcnn import Graph, Sequential, exchange, layers

if importlib.util.find_spec("tensorflow") is None:
    pytest.importorskip("torch", reason="Keras needs a library below it")
    os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="needs Keras 3: pip install keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras's own
L = keras.layers
SHAPE = (9, 8, 4)
X = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)

ROWS = {
    "tutorial": lambda: [
        L.Conv2D(6, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(8, 2, padding="same"),
        L.Flatten(), L.Dropout(0.5), L.BatchNormalization(), L.Dense(5, activation="softmax"),
    ],
    "strided": lambda: [
        L.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
        L.BatchNormalization(scale=False), L.ReLU(6.0),
        # Not by a stride: over PyTorch, Keras counts the zeros of an uneven padding.
        L.AveragePooling2D(3, 1, padding="same"), L.GlobalAveragePooling2D(),
        L.Dense(3, activation="gelu"), L.ReLU(negative_slope=0.1),
    ],
    "depthwise": lambda: [
        L.ZeroPadding2D(((1, 0), (0, 2))),
        L.DepthwiseConv2D(3, depth_multiplier=2, activation="silu"),
        L.SeparableConv2D(6, 3, depth_multiplier=2, padding="same"), L.GroupNormalization(3),
        L.PReLU(shared_axes=(1, 2)), L.GlobalMaxPooling2D(keepdims=True), L.Flatten(),
    ],
    "dilated": lambda: [
        L.Conv2D(8, 3, dilation_rate=2, padding="same", groups=2, activation="leaky_relu"),
        L.SpatialDropout2D(0.3), L.UpSampling2D(2, interpolation="bilinear"), L.ELU(0.5),
        L.Activation("hard_sigmoid"), L.MaxPooling2D((2, 3), strides=1, padding="same"),
    ],
    "transposed": lambda: [
        L.Conv2DTranspose(6, 4, strides=2, padding="same"), L.Activation("tanh"),
        L.Conv2DTranspose(3, 2, strides=3, padding="valid"), L.Activation("mish"),
        L.Conv2DTranspose(2, (3, 1), strides=(2, 2), padding="same"), L.LeakyReLU(0.2),
    ],
    "series": lambda: [
        L.Reshape((288,)), L.Dense(24, activation="selu"), L.Reshape((24, 1)),
        L.Conv1D(6, 5, strides=2, padding="same", activation="relu"), L.MaxPooling1D(3, 2),
        L.AveragePooling1D(2, 1, padding="same"), L.Softmax(),
    ],
}  # fmt: skip


def spread(model) -> None:
    """Other numbers than those that it starts with."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.uniform(0.2, 0.6, variable.shape) * rng.choice([1, 1, -1]))
        if "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def same(model, x=X) -> Sequential | Graph:
    spread(model)
    ours = exchange.from_keras(model)
    wanted, got = model.predict(x, verbose=0), ours.forward(x)
    wanted, got = (each if isinstance(each, (list, tuple)) else [each] for each in (wanted, got))
    for theirs, own in zip(wanted, got, strict=True):
        own = own.swapaxes(1, 2) if own.ndim == 3 else own  # series
        assert own.shape == theirs.shape
        assert abs(own - theirs).max() < 1e-4 * max(1, abs(theirs).max())
    return ours


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str) -> None:
    ours = same(keras.Sequential([keras.Input(SHAPE), *ROWS[name]()]))
    assert isinstance(ours, Sequential) and ours.data_format == "channels_last"


def test_a_graph_with_shared_layers_a_model_inside_and_two_outputs() -> None:
    x = keras.Input(SHAPE)
    inside = keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3, padding="same"), L.ReLU()])
    part = keras.Input(SHAPE)
    block = keras.Model(part, L.Add()([inside(part), part]))
    y = L.Concatenate()([block(block(x)), x * L.Activation("sigmoid")(x)])
    flat = L.Concatenate()([L.Flatten()(y), L.GlobalAveragePooling2D()(y)])
    model = keras.Model(x, [L.Dense(3)(L.Dropout(0.2)(flat)), y])
    ours = same(model)
    assert isinstance(ours, Graph)
    assert sum(layer.name.startswith("Conv2D") for layer in ours.layers) == 1  # shared


def test_it_trains_on_and_what_is_frozen_stays_so() -> None:
    first = L.Conv2D(4, 3, trainable=False)
    ours = same(keras.Sequential([keras.Input(SHAPE), first, L.Flatten(), L.Dense(2)]))
    assert isinstance(ours, Sequential)
    before = ours.copy_arrays()
    ours.train(X, np.array([0, 1, 1]), epochs=1, batch_size=3, seed=0)
    after = ours.copy_arrays()
    assert (before["0.weight"] == after["0.weight"]).all()
    assert (before["2.weight"] != after["2.weight"]).any()


def test_rescaling_becomes_the_normalization() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), L.Rescaling(1 / 127.5, -1.0), L.Flatten()])
    model.add(L.Dense(3))
    ours = exchange.from_keras(model)
    pixels = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1) * 8
    theirs = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(ours.predict_logits(pixels), theirs, rtol=1e-4, atol=1e-5)
    with pytest.warns(UserWarning, match="knows uint8 pixels"):
        ours.predict_logits(pixels.astype(np.float32))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([L.LSTM(3)], "layer 'lstm"),
        ([L.Conv2D(2, 3, data_format="channels_first")], "data_format='channels_first' has no"),
        ([L.Conv2D(2, 3, activation="celu")], "activation 'celu' has no counterpart; known are"),
        ([L.ReLU(3.0)], "max_value=3.0 has no counterpart, only 6.0"),
        ([L.PReLU()], "a slope for each pixel has no counterpart; give shared_axes=(1, 2)"),
        ([L.BatchNormalization(axis=1)], "axis=1 has no counterpart, only the last one"),
        ([L.Flatten()], "an output is a flattened image, whose numbers would stand in another"),
        ([L.Reshape((8, 9, 4))], "to (8, 9, 4) it has no counterpart: the numbers stand"),
        ([L.LayerNormalization()], "of images or series, whose channels it normalises at each"),
        ([L.Flatten(), L.ReLU(), L.Reshape((9, 8, 4)), L.ReLU()], "numbers stand in another order"),
        (
            [L.UpSampling2D(2, interpolation="lanczos3")],
            "there is no mode 'lanczos3'; known are nearest",
        ),
    ],
)
def test_what_has_no_counterpart_is_named(row, said: str) -> None:
    shape = (8, 4) if isinstance(row[0], L.LSTM) else SHAPE
    model = keras.Sequential([keras.Input(shape), *row])
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_keras(model)


def test_arithmetic_and_unbuilt_models_are_refused() -> None:
    x = keras.Input(SHAPE)
    for y, said in (
        (1 / x, "with numbers it has no"),
        (x / 0, "divides by 0"),
        (x**3, "with the number 3.0"),
    ):
        with pytest.raises(ValueError, match=said):
            exchange.from_keras(keras.Model(x, y))
    for model in (keras.Sequential([L.Dense(2)]), object()):
        with pytest.raises(ValueError, match="from_keras: the model must be built"):
            exchange.from_keras(model)
    with pytest.raises(ValueError, match=r"an input's shape must be known, got \(None, 3\)"):
        exchange.from_keras(keras.Sequential([keras.Input((None, 3)), L.ReLU()]))


class Mine(L.ReLU):
    """A layer with a call of its own."""

    def call(self, x):
        return 3 * super().call(x)


class Row(keras.Sequential):
    """A row with a call of its own."""

    def call(self, x, **options):
        return 3 * super().call(x, **options)


class Block(keras.Model):
    """A model with a call of its own."""

    def __init__(self):
        super().__init__()
        self.relu = L.ReLU()

    def call(self, x):
        return x + self.relu(x)


def test_what_would_be_wrong_in_silence_is_refused() -> None:
    x, y = keras.Input(SHAPE), keras.Input(SHAPE)
    half = L.Rescaling(0.5)
    rows = [
        ([L.Conv2D(2, 3, activation=L.LeakyReLU(0.3))], "LeakyReLU"),
        ([Mine()], "its call() is not one of Keras's"),
        ([L.Flatten(), L.GroupNormalization(2), L.Dense(2)], "its groups of a flattened image"),
    ]
    models = [(keras.Sequential([keras.Input(SHAPE), *row]), said) for row, said in rows]
    models += [
        (Row([keras.Input(SHAPE), L.ReLU()]), "its call() is not one of Keras's"),
        (keras.Model(x, Block()(x)), "its call() is not one of Keras's"),
        (
            keras.Model(x, L.Add()([L.ReLU()(half(x)), L.ReLU()(x)])),
            "the input goes to a Rescaling",
        ),
        (keras.Model(x, L.Dot(3)([x, L.ReLU()(x)])), "with 2 inputs it has no counterpart"),
        (keras.Model([x, y], L.Add()([half(x), y])), "if that is the only one"),
    ]
    for model, said in models:
        with pytest.raises(ValueError, match=re.escape(said)):
            exchange.from_keras(model)


# (its last layer, shape of a sample, what the sentence says)
OTHERWISE = [
    (lambda x: L.Normalization(1, X[0, :, 0, 0], X[0, :, 0, 1] ** 2)(x), (9, 9), "shape (1, 9, 1)"),
    (lambda x: L.Normalization((1, 2, 3), X[0], X[0] ** 2)(x), SHAPE, "numbers of shape (1, 9, 8,"),
    (lambda x: L.Rescaling(X[0])(L.ReLU()(x)), SHAPE, "numbers of shape (9, 8, 4) beside"),
    (lambda x: L.LayerNormalization(rms_scaling=True)(x), (6,), "rms_scaling=True"),
    (lambda x: L.LayerNormalization(center=False, scale=False)(x), (6,), "without a scale and a"),
    (lambda x: L.Dropout(0.5, noise_shape=(None, 1, 1, 4))(x), SHAPE, "noise_shape=(None, 1, 1"),
    (lambda x: L.ZeroPadding1D(1, data_format="channels_first")(x), (6, 4), "'channels_first'"),
    (lambda x: L.SpatialDropout2D(0.5, "channels_first")(x), SHAPE, "'channels_first'"),
    (lambda x: keras.ops.average(x, weights=x), SHAPE, "knows no layer for this function"),
    (lambda x: keras.ops.reshape(x, (-1, 2)), (6,), "does not keep the samples apart"),
    (lambda x: keras.ops.max(x, keepdims=True), SHAPE, "knows no layer for this function"),
]  # fmt: skip


@pytest.mark.parametrize("case", OTHERWISE, ids=lambda case: case[2])
def test_settings_and_functions_that_do_something_else_are_refused(case) -> None:
    make, shape, said = case
    x = keras.Input(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, of what is deprecated
        model = keras.Model(x, make(x))
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        exchange.from_keras(model)
    assert str(caught.value).startswith("from_keras, layer ")


def test_functions_do_what_layers_of_their_name_do() -> None:
    x = keras.Input(SHAPE)
    y = keras.ops.softmax(keras.activations.relu(x, max_value=6.0) + keras.ops.silu(x))
    y = keras.ops.maximum(
        L.Minimum()([y, x]), keras.ops.tanh(L.GlobalMaxPooling2D(keepdims=True)(x))
    )
    y = L.PReLU(shared_axes=[1])(keras.ops.reshape(y, (-1, 288)))
    same(keras.Model(x, L.Dense(3)(y)))


@pytest.mark.parametrize("activation", [None, "gelu"])
def test_a_dense_layer_that_is_called_twice_is_not_turned(activation) -> None:
    """Nor is what it gave before: the second call would be given its numbers in another order."""
    x, dense = keras.Input((12,)), L.Dense(12, activation=activation)
    first, to = dense(x), L.Reshape((2, 3, 2))
    models = [(x, to(dense(first))), (x, L.Flatten()(to(first)) + dense(L.ReLU()(x)))]
    for given, found in models:
        with pytest.raises(ValueError, match=r"another layer use|is used by another layer"):
            exchange.from_keras(keras.Model(given, L.Dense(1)(L.Flatten()(found))))
    same(keras.Model(x, to(L.Dense(12)(dense(first)))), X[:, 0, :3].reshape(3, 12))


def test_an_output_in_the_middle_of_a_row_stays_one() -> None:
    x = keras.Input(SHAPE)
    y = L.Conv2D(2, 3)(x)
    assert isinstance(same(keras.Model(x, [y, L.ReLU()(y)])), Graph)


# --- names --------------------------------------------------------------------------------------

TWO = ("left", "right")
Z = {"left": X[:, 0, 0], "right": X[:, 1, 1]}


def two_inputs() -> list:
    return [keras.Input((4,), name=name) for name in TWO]


def test_names_of_outputs_and_inputs_are_those_of_keras() -> None:
    left, right = two_inputs()
    y = L.Concatenate()([left, right])
    model = keras.Model([left, right], [L.Dense(3, name="digit")(y), L.Dense(1, name="ink")(y)])
    ours = same(model, [Z["left"], Z["right"]])
    assert ours.output_names == tuple(model.output_names) == ("digit", "ink")
    wanted = ours.forward(tuple(Z.values()))
    for name, got, out in zip(TWO, ours.forward(Z), wanted, strict=True):
        assert (got == out).all(), name
    # As in Keras: dicts by these names, and what is measured has them.
    history = ours.train(
        Z, {"digit": np.arange(3), "ink": np.ones(3)}, epochs=1,
        loss={"digit": "cross-entropy", "ink": "mse"}, loss_weights={"digit": 1, "ink": 2},
    )  # fmt: skip
    assert {"digit_loss", "digit_accuracy", "ink_r2"} <= set(history)


def test_dicts_of_inputs_and_outputs_are_in_the_order_of_their_names() -> None:
    # Keras sorts the keys; the values are given here in another order on purpose.
    left, right = (keras.Input((4,), name=name) for name in TWO)
    inside = keras.Model(
        {"right": right, "left": left},
        {"sum": L.Add()([left, right]), "many": L.Concatenate()([right, left])},
    )
    one, other = (keras.Input((4,), name=name) for name in ("one", "other"))
    found = inside({"right": one, "left": other})
    model = keras.Model([one, other], {"y": L.Dense(2)(found["sum"]), "x": found["many"]})
    spread(model)
    ours = exchange.from_keras(model)
    assert ours.output_names == ("x", "y")
    theirs = model.predict([Z["left"], Z["right"]], verbose=0)
    got = ours.forward({"one": Z["left"], "other": Z["right"]})
    for name, array in zip(ours.output_names, got, strict=True):
        np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-5)
    both = exchange.from_keras(inside)
    got, wanted = both.forward(Z), inside.predict(Z, verbose=0)
    for name, array in zip(both.output_names, got, strict=True):
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)


def test_names_that_nobody_gave_or_that_are_alike_are_left_out(tmp_path) -> None:
    x, dense = keras.Input((6,)), L.Dense(6, name="dense")
    twice = exchange.from_keras(keras.Model(x, [dense(x), dense(L.ReLU()(x))]))
    assert twice.output_names == ("y0", "y1")
    assert twice.structure().keys() == {"graph"}
    model = keras.Model(x, [dense(x), L.Activation("relu", name="val_x")(x)])
    assert exchange.from_keras(model).output_names == ("y0", "y1")
    model = keras.Model(x, [dense(x), L.ReLU(name="positive")(x)])
    model.save(tmp_path / "m.keras")  # where the input's name is written like one that was given
    for each in (model, keras.saving.load_model(tmp_path / "m.keras")):
        assert exchange.from_keras(each).structure()["output_names"] == ["dense", "positive"]
        assert "input_names" not in exchange.from_keras(each).structure()


def test_names_stay_in_onnx_files(tmp_path) -> None:
    pytest.importorskip("onnx")
    left, right = two_inputs()
    y = L.Add()([left, right])
    model = keras.Model([left, right], {"digit": L.Dense(3)(y), "ink": L.Dense(1)(y)})
    ours = exchange.from_keras(model)
    exchange.save_onnx(ours, tmp_path / "m.onnx")
    again = exchange.load_onnx(tmp_path / "m.onnx")
    assert again.structure() == ours.structure() and again.output_names == ("digit", "ink")


def test_a_model_may_end_with_a_model() -> None:
    part, x = keras.Input((4,)), keras.Input((4,))
    inside = keras.Model(part, [L.Dense(3)(part), L.Dense(2)(part)], name="inside")
    once, again = inside(x), inside(L.ReLU()(x))
    ours = same(keras.Model(x, [once[1], again[0], again[1]]), X[:, 0, 0])
    assert len([layer for layer in ours.layers if layer.params]) == 2
    row = keras.Model(part, L.Dense(3)(part))
    assert isinstance(same(keras.Model(x, row(L.ReLU()(x))), X[:, 0, 0]), Sequential)


class Net(keras.Model):
    """A functional model in a class of one's own."""

    def __init__(self):
        x = keras.Input(SHAPE)
        super().__init__(x, L.Add()([L.ReLU()(x), x]))


def test_functional_models_that_do_not_say_how_they_are_connected() -> None:
    net = Net()
    with pytest.raises(ValueError, match=r"its class Net does not say .* give keras.Model\("):
        exchange.from_keras(net)
    assert isinstance(same(keras.Model(net.inputs, net.outputs)), Graph)
    left, right = two_inputs()
    row = keras.Model([left, right], L.Concatenate()([left, right]))
    model = keras.Model([left, right], row({"right": left, "left": right}))
    with pytest.raises(ValueError, match="it is called on a dict and has its inputs in a row"):
        exchange.from_keras(model)


# --- settings that change what a layer computes ---------------------------------------------------

EXACT_OR_NOT = {
    "by name": lambda: "gelu",
    "exact": lambda: keras.activations.gelu,
    "approximate": lambda: keras.ops.gelu,  # by tanh, unless it is told otherwise
}


@pytest.mark.parametrize("name", EXACT_OR_NOT)
def test_both_kinds_of_gelu(name: str) -> None:
    function = EXACT_OR_NOT[name]()
    row = [L.Conv2D(4, 1, activation=function), L.Flatten(), L.Dense(3), L.Activation(function)]
    ours = same(keras.Sequential([keras.Input(SHAPE), *row]))
    wanted = "tanh" if name == "approximate" else "none"
    kinds = [layer for layer in ours.layers if isinstance(layer, layers.GELU)]
    assert [layer.approximate for layer in kinds] == [wanted, wanted]


@pytest.mark.parametrize("kind", ["Dense", "Conv2D"])
def test_what_lora_adds_is_added(kind: str) -> None:
    part = L.Dense(3, lora_rank=2) if kind == "Dense" else L.Conv2D(3, 2, lora_rank=2)
    before = [L.Flatten()] if kind == "Dense" else []
    same(keras.Sequential([keras.Input(SHAPE), *before, part]))


def test_settings_that_have_no_counterpart() -> None:
    quantized = keras.Sequential([keras.Input((7,)), L.Dense(3, name="few")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an input is not
        quantized.quantize("int8")
    first = keras.Sequential([keras.Input(SHAPE), L.Flatten("channels_first", name="flat")])
    for model, said in (
        (quantized, r"layer 'few' \(Dense\): its weights are quantized \('int8'\)"),
        (first, r"layer 'flat' \(Flatten\): data_format='channels_first' has no counterpart"),
    ):
        with pytest.raises(ValueError, match=said):
            exchange.from_keras(model)


def test_halves_are_computed_as_floats() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = keras.Sequential([keras.Input(SHAPE), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    row = [keras.Input(SHAPE), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)]
    spread(model)
    floats = keras.Sequential(row)
    floats.set_weights(model.get_weights())
    ours, wanted = exchange.from_keras(model).forward(X), floats.predict(X, verbose=0)
    assert abs(ours - wanted).max() < 1e-4 * abs(wanted).max()


def test_an_input_of_bytes_takes_them_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8"), L.Flatten(), L.Dense(3)])
    ours, wanted = exchange.from_keras(model), model.predict(pixels, verbose=0)
    for x in (pixels, pixels.astype(np.float32)):
        assert abs(ours.forward(x) - wanted).max() < 1e-5 * abs(wanted).max()


# --- what is made of several layers ---------------------------------------------------------------


def _step(model, ours, x) -> None:
    """Outputs, and the weights after a step of plain gradient descent, are those of Keras."""
    y = np.cos(np.arange(model.predict(x, verbose=0).size)).astype(np.float32)
    y = y.reshape(model.predict(x, verbose=0).shape)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, y)
    got = ours.forward(x, training=True)
    ours.backward(2 * (got - y) / y.size)
    for layer in ours.layers:
        for name in layer.params if layer.trainable else ():
            layer.params[name] -= 0.1 * layer.grads[name]
    wanted = model.predict(x, verbose=0)
    assert abs(ours.forward(x) - wanted).max() < 1e-3 * max(1, abs(wanted).max())


def _squeezed(shape: str):
    x = keras.Input(SHAPE)
    y = L.Conv2D(6, 3, padding="same")(x)
    if shape == "kept":
        s = L.GlobalAveragePooling2D(keepdims=True)(y)
        s = L.Conv2D(6, 1, activation="sigmoid")(L.Conv2D(2, 1, activation="relu")(s))
    else:
        s = L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(y))
        s = L.Reshape((1, 1, 6))(L.Dense(6, activation="sigmoid")(s))
    y = L.Multiply()([s, y]) if shape == "kept" else y * s
    return keras.Model(x, L.Dense(3)(L.GlobalMaxPooling2D()(y)))


@pytest.mark.parametrize("shape", ["kept", "reshaped"])
def test_one_number_a_channel_times_an_image(shape: str, tmp_path) -> None:
    model = _squeezed(shape)
    ours = same(model)
    _step(model, ours, X)
    pytest.importorskip("onnx")
    exchange.save_onnx(ours, tmp_path / "m.onnx")
    found = exchange.load_onnx(tmp_path / "m.onnx").forward(X)
    np.testing.assert_allclose(found, ours.forward(X), rtol=1e-4, atol=1e-5)


def _arithmetic():
    x = keras.Input(SHAPE)
    y = L.Conv2D(4, 3, padding="same")(x)
    y = L.Subtract()([L.Rescaling(0.5, 1.0)(y), 1 - x / 4]) * L.Conv2D(1, 1)(x)
    y = L.Average()([2 * y + 3, x, y - 1])
    y = L.Cropping2D(((1, 2), (0, 3)))(y)
    return keras.Model(x, L.LayerNormalization()(L.Dense(5)(L.Flatten()(y))))


def _series():
    x = keras.Input((20, 3))
    y = L.BatchNormalization()(L.Conv1D(4, 3, padding="causal", dilation_rate=2)(x))
    y = L.SpatialDropout1D(0.0)(L.Cropping1D((1, 2))(L.ZeroPadding1D((0, 3))(y)))
    y = L.UpSampling1D(2)(y)
    y = y * L.GlobalAveragePooling1D(keepdims=True)(y)
    parts = [L.GlobalAveragePooling1D()(y), L.GlobalMaxPooling1D()(y)]
    return keras.Model(x, L.Dense(2)(L.Concatenate()(parts)))


def _generator():
    row = [L.Dense(48), L.BatchNormalization(), L.LeakyReLU(), L.Reshape((4, 3, 4))]
    return keras.Sequential([keras.Input((5,)), *row, L.Conv2DTranspose(2, 3, strides=2)])


@pytest.mark.parametrize("make", [_arithmetic, _series, _generator])
def test_what_is_made_of_several_layers(make, tmp_path) -> None:
    model = make()
    x = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    spread(model)
    ours = exchange.from_keras(model)
    given = x.swapaxes(1, 2).copy() if x.ndim == 3 else x
    wanted = model.predict(x, verbose=0)
    np.testing.assert_allclose(ours.forward(given), wanted, rtol=1e-4, atol=1e-5)
    if make is not _series:
        _step(model, ours, x)
    pytest.importorskip("onnx")
    exchange.save_onnx(ours, tmp_path / "m.onnx")
    found = exchange.load_onnx(tmp_path / "m.onnx").forward(given)
    np.testing.assert_allclose(found, ours.forward(given), rtol=1e-4, atol=1e-5)


def test_a_vector_that_is_an_image_and_something_else_is_refused() -> None:
    x = keras.Input((5,))
    y = L.Dense(48)(x)
    z = L.ReLU()(y)
    image = L.Conv2D(2, 3)(L.Reshape((4, 3, 4))(z))
    for other in (L.Dense(2)(y), L.Dense(2)(z), z, L.Conv2D(2, 3)(L.Reshape((3, 4, 4))(z))):
        for outputs in ([image, other], [other, image]):
            with pytest.raises(ValueError, match="give both a Dense"):
                exchange.from_keras(keras.Model(x, outputs))


def test_normalization_stays_and_what_is_for_training_is_left_out_aloud() -> None:
    x = keras.Input(SHAPE)
    y = L.Normalization(mean=[1.0, 2, 3, 4], variance=[4.0] * 4)(L.GaussianNoise(0.5)(x))
    model = keras.Model(x, L.Conv2D(2, 3)(y))
    with pytest.warns(UserWarning, match=r"\(GaussianNoise\): it changes images in training only"):
        ours = same(model)
    assert [layer.trainable for layer in ours.layers] == [False, True]
    row = [L.RandomFlip(), L.Rescaling(1 / 255), L.Conv2D(2, 3)]
    with pytest.warns(UserWarning, match="RandomFlip"):
        ours = exchange.from_keras(keras.Sequential([keras.Input(SHAPE), *row]))
    assert ours.learned_from == "pixels" and len(ours.layers) == 1


def test_images_beside_vectors_come_back_from_onnx(tmp_path) -> None:
    pytest.importorskip("onnx")
    image, data = keras.Input(SHAPE, name="image"), keras.Input((4,), name="data")
    y = L.Concatenate()([L.GlobalAveragePooling2D()(image), data])
    ours = exchange.from_keras(keras.Model([image, data], L.Dense(3)(y)))
    exchange.save_onnx(ours, tmp_path / "m.onnx")
    again = exchange.load_onnx(tmp_path / "m.onnx")
    assert again.data_format == "channels_last"
    given = {"image": X, "data": X[:, 0, 0]}
    np.testing.assert_allclose(again.forward(given), ours.forward(given), atol=1e-5)
