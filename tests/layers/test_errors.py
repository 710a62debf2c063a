"""Every sentence that a layer answers a mistake with."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn.layers import (
    ELU,
    GELU,
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool1D,
    MaxPool2D,
    Pad,
    PixelShuffle,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    Softmax,
    Softplus,
    SpatialDropout,
    Upsample,
    from_spec,
)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def any_of(value: Any) -> Any:
    """`value` for arguments whose type says that it is wrong."""
    return value


CONSTRUCTORS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: Dense(4, 4, init="normal", init_std=1e38),
        "Dense: init_std must be a number above 0 and",
    ),
    (lambda: ReLU(seed=any_of("3")), "ReLU: seed must be a whole number of at least 0, got '3'"),
    (lambda: Conv2D(0, 4, 3), "Conv2D: in_channels must be a whole number above 0, got 0"),
    (lambda: Conv2D(3, any_of(4.0), 3), "Conv2D: out_channels must be a whole number"),
    (lambda: Conv2D(3, any_of(True), 3), "Conv2D: out_channels must be a whole number"),
    (lambda: Conv2D(3, 4, 0), "Conv2D: kernel_size must be a whole number above 0, got 0"),
    (lambda: Conv2D(3, 4, any_of((3, 3, 3))), "kernel_size must be a whole number or a pair"),
    (lambda: Conv2D(3, 4, 3, stride=0), "Conv2D: stride must be a whole number above 0, got 0"),
    (lambda: Conv2D(3, 4, 3, padding=-1), "padding must be a whole number of at least 0, got -1"),
    (lambda: Conv2D(3, 4, 3, padding=((1, 0), (0, -1))), "of at least 0, got -1"),
    (lambda: Conv2D(3, 4, 3, dilation=0), "Conv2D: dilation must be a whole number above 0, got 0"),
    (
        lambda: Conv2D(12, 18, 3, groups=4),
        "groups must divide in_channels=12 and out_channels=18, got 4; what fits: 1, 2, 3, 6",
    ),
    (lambda: Conv2D(3, 4, 3, padding="full"), "'same' or 'valid', got 'full'"),
    (lambda: Conv2D(3, 4, 3, bias=any_of(1)), "Conv2D: bias must be True or False, got 1"),
    (lambda: Dense(3, 4, init="he", init_std=0.1), 'init_std belongs to init="normal", not to'),
    (lambda: Conv2D(3, 4, 3, init="normal", init_std=0), "Conv2D: init_std must be a number ab"),
    (lambda: BatchNorm(3, from_first_batch=1), "from_first_batch must be True or False, got 1"),
    (lambda: Conv2D(3, 4, 3, init="hee"), "Conv2D: there is no initialization 'hee'; did you"),
    (lambda: Conv2D(3, 4, 3, seed=-1), "Conv2D: seed must be a whole number of at least 0"),
    (lambda: Dense(any_of("784"), 10), "Dense: in_features must be a whole number above 0"),
    (lambda: MaxPool2D(0), "MaxPool2D: pool_size must be a whole number above 0, got 0"),
    (lambda: MaxPool2D(2, padding=2), "MaxPool2D: padding may be at most half of pool_size (2, 2)"),
    (lambda: AveragePool2D(3, padding=(0, 2)), "AveragePool2D: padding may be at most half"),
    (lambda: AveragePool2D(2, count_include_pad=any_of("no")), "count_include_pad must be True or"),
    (lambda: MaxPool2D(2, padding=((2, 0), (0, 0))), "MaxPool2D: padding may be at most half of"),
    (lambda: MaxPool2D(2, dilation=0), "MaxPool2D: dilation must be a whole number above 0, got"),
    (lambda: MaxPool2D(2, ceil_mode=any_of(1)), "MaxPool2D: ceil_mode must be True or False, got"),
    (lambda: MaxPool1D(any_of((2, 2))), "MaxPool1D: pool_size must be a whole number above 0, got"),
    (
        lambda: AveragePool1D(2, padding=2),
        "AveragePool1D: padding may be at most half of pool",
    ),
    (lambda: AdaptiveMaxPool2D(0), "AdaptiveMaxPool2D: output_size must be a whole number above 0"),
    (lambda: AdaptiveAveragePool2D(any_of((1, 2, 3))), "output_size must be a whole number or a"),
    (lambda: BatchNorm(3, momentum=1.5), "BatchNorm: momentum must be a number from 0 to 1, got"),
    (lambda: BatchNorm(3, eps=0), "BatchNorm: eps must be a finite number above 0, got 0"),
    (lambda: GroupNorm(3, 8), "GroupNorm: num_groups must divide num_channels, got 3 groups of 8"),
    (lambda: GroupNorm(0, 8), "GroupNorm: num_groups must be a whole number above 0, got 0"),
    (lambda: GroupNorm(2, 8, eps=-1), "GroupNorm: eps must be a finite number above 0, got -1"),
    (lambda: LayerNorm(any_of([8])), "LayerNorm: num_features must be a whole number above 0, got"),
    (lambda: LayerNorm(8, eps=0), "LayerNorm: eps must be a finite number above 0, got 0"),
    (lambda: Dropout(1), "Dropout: rate must be a probability of dropping, at least 0 and below 1"),
    (lambda: Dropout(float("nan")), "Dropout: rate must be a probability of dropping"),
    (lambda: LeakyReLU(-1), "LeakyReLU: alpha must be a finite number of at least 0, got -1"),
    (lambda: ELU(float("inf")), "ELU: alpha must be a finite number, got inf"),
    (lambda: ELU(any_of("1")), "ELU: alpha must be a finite number, got '1'"),
    (lambda: Softplus(0), "Softplus: beta must be a finite number above 0, got 0"),
    (
        lambda: GELU(any_of(True)),
        "GELU: approximate must be 'none', which is exact, or 'tanh', got",
    ),
    (lambda: PReLU(0), "PReLU: num_parameters must be a whole number above 0, got 0"),
    (lambda: PReLU(3, any_of(None)), "PReLU: init must be a finite number, got None"),
    (lambda: Softmax(any_of(1.0)), "Softmax: axis must be a whole number, got 1.0"),
    (lambda: Residual(any_of(ReLU())), "Residual: main must be a list of at least one layer"),
    (lambda: SpatialDropout(1), "SpatialDropout: rate must be a probability of dropping"),
    (lambda: InstanceNorm(0), "InstanceNorm: num_features must be a whole number above 0, got 0"),
    (lambda: Pad(any_of("same")), "Pad: padding must be whole numbers of pixels, got 'same'"),
    (lambda: Pad(any_of(1.5)), "Pad: padding must be a whole number, got 1.5"),
    (lambda: Pad(1, "reflection"), "Pad: there is no mode 'reflection'; did you mean 'reflect'?"),
    (lambda: Pad(1, value=2), "Pad: value belongs to mode=\"constant\", not to 'zeros'"),
    (lambda: Upsample(), "Upsample: give either scale_factor or size, got None and None"),
    (lambda: Upsample(2, 5), "Upsample: give either scale_factor or size, got 2 and 5"),
    (lambda: Upsample(any_of(1.5)), "Upsample: scale_factor must be a whole number above 0, got"),
    (lambda: Upsample(2, mode="cubic"), "Upsample: there is no mode 'cubic'"),
    (lambda: Upsample(2, align_corners=True), 'Upsample: align_corners belongs to mode="bilinear"'),
    (lambda: PixelShuffle(0), "PixelShuffle: upscale_factor must be a whole number above 0, got"),
    (lambda: Reshape(()), "Reshape: shape must have sizes, one of which may be -1, got ()"),
    (lambda: Reshape((-1, -1)), "Reshape: shape must have sizes, one of which may be -1, got"),
    (lambda: Reshape((2, 0)), "Reshape: shape must be a whole number above 0, got 0"),
    (lambda: Residual([]), "Residual: main must be a list of at least one layer, got []"),
    (lambda: Residual([ReLU()], any_of([1])), "Residual: shortcut must be a list of at least one"),
    (lambda: Residual([ReLU()], activation=any_of("relu")), "activation must be a layer such as"),
    (lambda: Concatenate([]), "Concatenate: layers must be a list of at least one layer, got []"),
    (lambda: from_spec({"type": "Conv3D"}), "there is no layer 'Conv3D'; did you mean 'Conv2D'?"),
    (lambda: from_spec({"type": "Dense", "size": 3}), "Dense cannot be made from {'size': 3}"),
    (lambda: from_spec([1]), "a layer is described by a dict with a 'type', got [1]"),
]

INPUTS: list[tuple[Layer, tuple[int, ...], str]] = [
    (
        Conv2D(3, 16, kernel_size=3),
        (8, 1, 28, 28),
        "Conv2D(3, 16, kernel_size=3): expected input with 3 channels as (N, 3, H, W), got shape "
        "(8, 1, 28, 28)",
    ),
    (Conv2D(1, 2, 3), (8, 28, 28), "expected input with 1 channel as (N, 1, H, W), got shape (8,"),
    (Conv2D(3, 2, 3), (8, 28, 28, 3), "it looks like N, H, W, C: use x.transpose(0, 3, 1, 2)"),
    (
        Conv2D(1, 2, 5, padding=(1, 0)),
        (2, 1, 2, 8),
        "Conv2D(1, 2, kernel_size=5, padding=[1, 0]): the 5x5 window does not fit into the input "
        "of shape (2, 1, 2, 8), which is 4x8 with its padding",
    ),
    (MaxPool2D(3), (2, 1, 2, 8), "MaxPool2D(3): the 3x3 window does not fit"),
    (
        AveragePool2D(2),
        (2, 6),
        "AveragePool2D(2): expected input as (N, C, H, W), got shape (2, 6)",
    ),
    (MaxPool1D(2), (2, 6), "MaxPool1D(2): expected input as (N, C, L), got shape (2, 6)"),
    (MaxPool1D(4), (2, 1, 3), "MaxPool1D(4): the 1x4 window does not fit into the input of shape"),
    (AdaptiveMaxPool2D(2), (2, 6), "AdaptiveMaxPool2D(2): expected input as (N, C, H, W), got"),
    (
        MaxPool2D(2, 1, 2, dilation=3),
        (1, 1, 1, 4),
        "MaxPool2D(2, stride=1, padding=2, dilation=3): some windows would hold no pixel of the "
        "input of shape (1, 1, 1, 4); use less padding or less dilation",
    ),
    (GlobalAveragePool2D(), (2, 6), "GlobalAveragePool2D(): expected input as (N, C, H, W)"),
    (GlobalMaxPool1D(), (2, 3, 4, 5), "GlobalMaxPool1D(): expected input as (N, C, L), got shape"),
    (
        Dense(4, 2),
        (3, 5),
        "Dense(4, 2): expected input with 4 features as (N, 4), got shape (3, 5)",
    ),
    (Dense(4, 2), (3, 1, 2, 2), "put a Flatten() before it"),
    (
        BatchNorm(3),
        (4, 2),
        "BatchNorm(3): expected input with 3 channels as (N, 3), (N, 3, L) or (N, 3, H, W)",
    ),
    (
        GroupNorm(2, 4),
        (4, 2),
        "GroupNorm(2, 4): expected input with 4 channels as (N, 4), (N, 4, L) or (N, 4, H, W), got",
    ),
    (LayerNorm(3), (4, 2, 3), "LayerNorm(3): expected input with 3 channels as (N, 3), (N, 3, L)"),
    (Softmax(), (4,), "Softmax(): the input of shape (4,) has no axis 1; axis=-1 is the last of"),
    (Softmax(-3), (2, 4), "Softmax(axis=-3): the input of shape (2, 4) has no axis -3; axis=-1 is"),
    (PReLU(3), (2, 4), "PReLU(3): expected input with 3 channels as (N, 3), (N, 3, L) or (N, 3, H"),
    (InstanceNorm(3), (4, 3), "InstanceNorm(3): expected input as (N, 3, H, W), got shape (4, 3)"),
    (InstanceNorm(3), (4, 2, 3, 3), "InstanceNorm(3): expected input with 3 channels as"),
    (SpatialDropout(0.5), (2, 3, 1, 1, 1), "SpatialDropout(0.5): expected input as (N, C), (N, C,"),
    (
        Pad(((0, 3), (0, 0)), "reflect"),
        (1, 1, 3, 9),
        "an image of shape (1, 1, 3, 9) has too few pixels to be reflected; use less padding or",
    ),
    (Pad(((-1, -2), (0, 0))), (1, 1, 3, 9), "it cuts all off images of shape (1, 1, 3, 9)"),
    (Pad(((0, 0), (5, -9))), (1, 1, 3, 9), "it cuts all off images of shape (1, 1, 3, 9)"),
    (Pad(1), (3, 4), "Pad(1): expected input as (N, C, H, W), got shape (3, 4)"),
    (PixelShuffle(2), (1, 6, 3, 3), "PixelShuffle(2): the channels must be a multiple of 4, got"),
    (
        Reshape((4, -1)),
        (2, 3, 2),
        "Reshape([4, -1]): a sample of shape (3, 2) has 6 numbers, which do not make (4, -1)",
    ),
    (Reshape((7,)), (2, 6), "which do not make (7,)"),
    (ReLU(), (0, 4), "ReLU(): expected a batch of at least one sample"),
    (Flatten(), (7,), "one image is passed as x[None]"),
    (
        Residual([Conv2D(1, 2, 1)]),
        (1, 1, 3, 3),
        "main gives shape (1, 2, 3, 3) and the shortcut (1, 1, 3, 3), which cannot be added; give",
    ),
    (Residual([ReLU()], [MaxPool2D(2)]), (1, 1, 4, 4), "cannot be added; change its layers"),
    (
        Concatenate([MaxPool2D(2)]),
        (1, 3, 4, 4),
        "Concatenate([MaxPool2D(2)]): its input has shape (1, 3, 4, 4) and its layers give "
        "(1, 3, 2, 2), which cannot stand side by side",
    ),
    (Concatenate([Flatten()]), (1, 3, 4, 4), "its layers give (1, 48), which cannot stand side"),
    (Concatenate([ReLU()]), (1, 3, 4), "both must be (N, C) or (N, C, H, W) and differ in C"),
]


@pytest.mark.parametrize(("make", "message"), CONSTRUCTORS, ids=[m for _, m in CONSTRUCTORS])
def test_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), INPUTS, ids=[m for _, _, m in INPUTS])
def test_inputs(layer: Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.forward(zeros(*shape))


def test_input_dtypes() -> None:
    with pytest.raises(
        TypeError, match=re.escape("Dense(2, 3): expected a float32 or float64 Num")
    ):
        Dense(2, 3).forward(np.zeros((1, 2), np.uint8))
    with pytest.raises(TypeError, match="NumPy array, got list"):
        ReLU().forward(any_of([[1.0]]))
    with pytest.raises(TypeError, match="its parameters are float32 but the input is float64"):
        Dense(2, 3).forward(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="the dtype must be float32 or float64, got 'float16'"):
        Dense(2, 3).astype("float16")


ONE_OF_EACH: list[Layer] = [
    Conv2D(2, 2, 1), MaxPool2D(1), AveragePool2D(1), BatchNorm(2), GroupNorm(1, 2),
    LayerNorm(2), Dropout(0.5), Flatten(),
    GlobalAveragePool2D(), ReLU(), LeakyReLU(), PReLU(2), ELU(), Softmax(), Softmax(2),
    Residual([ReLU()]),
    Concatenate([ReLU()]),
]  # fmt: skip


@pytest.mark.parametrize("layer", ONE_OF_EACH, ids=repr)
def test_backward_needs_a_training_pass(layer: Layer) -> None:
    y = layer.forward(zeros(3, 2, 4, 4))
    message = f"{layer!r}: backward needs a forward(x, training=True) before it"
    with pytest.raises(RuntimeError, match=re.escape(message)):
        layer.backward(y)
    y = layer.forward(zeros(3, 2, 4, 4), training=True)
    with pytest.raises(ValueError, match=re.escape(f"gradient of shape {y.shape}")):
        layer.backward(zeros(1, 2))
    with pytest.raises(ValueError, match="got float64 of shape"):
        layer.backward(y.astype(np.float64))
    with pytest.raises(ValueError, match="got float"):
        layer.backward(any_of(1.0))


def test_parameters_can_be_written_but_not_replaced() -> None:
    layer = Dense(2, 3)
    weight = layer.params["weight"]
    layer.params["weight"] = np.ones((2, 3))
    layer.params.update(bias=[1, 2, 3])
    params = layer.params
    params |= {"bias": [4, 5, 6]}
    assert layer.params["weight"] is weight
    assert weight.all()
    np.testing.assert_array_equal(layer.forward(zeros(1, 2)), [[4, 5, 6]])
    mistakes: list[tuple[Callable[[], Any], str]] = [
        (lambda: layer.params.__setitem__("w", 1), "Dense(2, 3).params: there is no array 'w'"),
        (
            lambda: layer.params.__setitem__("weight", np.ones((3, 2))),
            "Dense(2, 3).params['weight']: expected real numbers of shape (2, 3), got float64 of "
            "shape (3, 2)",
        ),
        (lambda: layer.params.__setitem__("bias", ["a", "b", "c"]), "expected real numbers"),
        (lambda: layer.params.pop("bias"), "arrays can be written, but not added or removed"),
        (lambda: layer.params.clear(), "arrays can be written, but not added or removed"),
    ]
    for make, message in mistakes:
        with pytest.raises(ValueError, match=re.escape(message)):
            make()
