"""Which of our layers a Keras layer becomes, and where its weights go.

Keras keeps a convolution's filters as (height, width, in, out), ours are (out, in, height, width).
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import layers
from ...layers import Layer

Arrays = dict[str, np.ndarray]
Made = list[tuple[Layer, Arrays]]
"""Layers one after the other, each with the values of its arrays."""


def is_of_keras(function: Any) -> bool:
    """Whether Keras itself defines it, so that its name says what it does."""
    return getattr(function, "__module__", "").startswith("keras.")


def _numbers(layer: Any, **names: str) -> Arrays:
    """Our names of arrays -> the values of Keras's; those that the layer has."""
    if getattr(layer, "quantization_mode", None) is not None:
        raise ValueError(
            f"its weights are quantized ({layer.quantization_mode!r}), which has no counterpart; "
            f"convert the model before model.quantize"
        )
    found = {ours: getattr(layer, theirs, None) for ours, theirs in names.items()}
    return {ours: _array(value) for ours, value in found.items() if value is not None}


def _array(value: Any) -> np.ndarray:
    """Numbers of a variable, or of what Keras has computed of some, such as a sum with LoRA's."""
    return np.asarray(sys.modules["keras"].ops.convert_to_numpy(value))


def _only(layer: Any, **wanted: Any) -> None:
    """Raise unless the layer's settings are these."""
    for name, value in wanted.items():
        got = getattr(layer, name, value)
        if got != value:
            raise ValueError(f"{name}={got!r} has no counterpart, only {value!r}")


# --- activations --------------------------------------------------------------------------------

_ACTIVATIONS: dict[str, Callable[[], Layer | None]] = {
    "linear": lambda: None,
    "relu": layers.ReLU,
    "relu6": layers.ReLU6,
    "leaky_relu": lambda: layers.LeakyReLU(0.2),  # Keras's number
    "elu": layers.ELU,
    "selu": layers.SELU,
    "gelu": layers.GELU,
    "silu": layers.SiLU,
    "mish": layers.Mish,
    "softplus": layers.Softplus,
    "hard_silu": layers.Hardswish,
    "hard_sigmoid": layers.Hardsigmoid,
    "sigmoid": layers.Sigmoid,
    "tanh": layers.Tanh,
    "softmax": layers.Softmax,
    "log_softmax": layers.LogSoftmax,
}


def scale_of(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a Rescaling or Normalization multiplies with, and what it adds then."""
    if type(layer).__name__ == "Rescaling":
        return np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    mean = np.asarray(_array(layer.mean), np.float32)
    std = np.maximum(np.sqrt(np.asarray(_array(layer.variance), np.float32)), 1e-7)  # as Keras
    return (std, mean) if layer.invert else (1 / std, -mean / std)


def _activated(layer: Any) -> Made:
    """The activation that a layer ends with."""
    function = layer.activation
    name = "linear" if function is None else getattr(function, "__name__", repr(function))
    if name not in _ACTIVATIONS or (function is not None and not is_of_keras(function)):
        known = ", ".join(_ACTIVATIONS)
        raise ValueError(f"activation {name!r} has no counterpart; known are {known}")
    if name == "gelu" and not function.__module__.endswith("activations.activations"):
        made: Layer | None = layers.GELU("tanh")  # keras.ops.gelu approximates, unlike this layer's
    else:
        made = _ACTIVATIONS[name]()
    return [] if made is None else [(made, {})]


def _relu(layer: Any) -> Made:
    _only(layer, threshold=0.0)
    if layer.max_value is None:
        slope = float(layer.negative_slope)
        return [(layers.LeakyReLU(slope) if slope else layers.ReLU(), {})]
    _only(layer, max_value=6.0, negative_slope=0.0)
    return [(layers.ReLU6(), {})]


def _plain(kind: Callable[[], Layer]) -> Callable[[Any], Made]:
    return lambda _: [(kind(), {})]


def _prelu(layer: Any) -> Made:
    alpha = _numbers(layer, alpha="alpha")["alpha"]
    if alpha.size != alpha.shape[-1]:
        raise ValueError("a slope for each pixel has no counterpart; give shared_axes=(1, 2)")
    return [(layers.PReLU(alpha.size), {"alpha": alpha.reshape(-1)})]


def _softmax(layer: Any) -> Made:
    _only(layer, axis=-1)
    return [(layers.Softmax(), {})]


# --- layers with weights --------------------------------------------------------------------------


def _each_channel(kernel: np.ndarray) -> np.ndarray:
    """Filters of one channel each, (height, width, channels, multiplier), as ours of that many."""
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _geometry(layer: Any) -> dict[str, Any]:
    return {
        "stride": tuple(layer.strides), "padding": layer.padding, "bias": layer.use_bias,
        "dilation": tuple(layer.dilation_rate),
    }  # fmt: skip


def _series(made: dict[str, Any]) -> dict[str, Any]:
    return {name: v[0] if isinstance(v, tuple) else v for name, v in made.items()}


def _conv(layer: Any) -> Made:
    own = _numbers(layer, weight="kernel", bias="bias")
    own["weight"] = np.moveaxis(own["weight"], (-1, -2), (0, 1))
    filters, channels, *window = own["weight"].shape
    channels *= layer.groups
    given: dict[str, Any] = _geometry(layer) | {"groups": layer.groups}
    if len(window) == 1:
        given = _series(given)
        if layer.padding == "causal":
            given["padding"] = (window[0] - 1) * given["dilation"], 0
        made: Layer = layers.Conv1D(channels, filters, window[0], **given)
    else:
        made = layers.Conv2D(channels, filters, tuple(window), **given)
    return [(made, own), *_activated(layer)]


def _depthwise(layer: Any) -> Made:
    own = _numbers(layer, weight="kernel", bias="bias")
    height, width, channels, multiplier = own["weight"].shape
    own["weight"] = _each_channel(own["weight"])
    made = layers.Conv2D(
        channels, channels * multiplier, (height, width), groups=channels, **_geometry(layer)
    )
    return [(made, own), *_activated(layer)]


def _separable(layer: Any) -> Made:
    own = _numbers(layer, deep="depthwise_kernel", weight="pointwise_kernel", bias="bias")
    deep = own.pop("deep")
    height, width, channels, multiplier = deep.shape
    between = channels * multiplier
    given: dict[str, Any] = _geometry(layer) | {"bias": False}
    first = layers.Conv2D(channels, between, (height, width), groups=channels, **given)
    own["weight"] = own["weight"].transpose(3, 2, 0, 1)
    second = layers.Conv2D(between, len(own["weight"]), 1, bias=layer.use_bias)
    return [(first, {"weight": _each_channel(deep)}), (second, own), *_activated(layer)]


def _transposed(layer: Any) -> Made:
    _only(layer, output_padding=None, dilation_rate=(1, 1))
    own = _numbers(layer, weight="kernel", bias="bias")
    own["weight"] = own["weight"].transpose(3, 2, 0, 1)
    channels, filters, *window = own["weight"].shape
    given: dict[str, Any] = _geometry(layer)
    ends = []
    for size, stride in zip(window, given["stride"], strict=True):
        cut = max(size - stride, 0) if layer.padding == "same" else 0
        ends.append((cut // 2, cut - cut // 2))
    more = tuple(max(s - k, 0) for k, s in zip(window, given["stride"], strict=True))
    given |= {"padding": tuple(ends), "output_padding": more}
    made = layers.ConvTranspose2D(channels, filters, tuple(window), **given)
    return [(made, own), *_activated(layer)]


def _dense(layer: Any) -> Made:
    own = _numbers(layer, weight="kernel", bias="bias")
    made = layers.Dense(*own["weight"].shape, bias=layer.use_bias)
    return [(made, own), *_activated(layer)]


_NORMS = {"gamma": "gamma", "beta": "beta"}


def _batch_norm(layer: Any) -> Made:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    statistics = _numbers(layer, running_mean="moving_mean", running_var="moving_variance")
    features = statistics["running_mean"].size
    if axis not in (-1, layer.input_spec.ndim - 1):
        raise ValueError(f"axis={axis} has no counterpart, only the last one, the channels")
    made = layers.BatchNorm(features, layer.momentum, layer.epsilon)
    return [(made, statistics | _numbers(layer, **_NORMS))]


def _group_norm(layer: Any) -> Made:
    _only(layer, axis=-1)
    own = _numbers(layer, **_NORMS)
    channels = layer.input_spec.axes[layer.axis]
    groups = channels if layer.groups == -1 else layer.groups
    return [(layers.GroupNorm(groups, channels, layer.epsilon), own)]


# --- layers without -------------------------------------------------------------------------------


def _pool(kind: Callable[..., Layer], **more: Any) -> Callable[[Any], Made]:
    def make(layer: Any) -> Made:
        given: dict[str, Any] = {"stride": tuple(layer.strides), "padding": layer.padding}
        given["pool_size"] = tuple(layer.pool_size)
        if len(layer.pool_size) == 1:
            given = _series(given)
        return [(kind(**given, **more), {})]

    return make


def _global(kind: Callable[..., Layer]) -> Callable[[Any], Made]:
    def make(layer: Any) -> Made:
        return [(kind(1), {})] if layer.keepdims else [(kind(1), {}), (layers.Flatten(), {})]

    return make


def _pad(layer: Any) -> Made:
    return [(layers.Pad(_of_rows(layer.padding)), {})]


def _crop(layer: Any) -> Made:
    (top, bottom), (left, right) = _of_rows(layer.cropping)
    return [(layers.Pad(((-top, -bottom), (-left, -right))), {})]


def _of_rows(ends: Any) -> Any:
    """Ends of rows and columns; a series' are those of one row."""
    return ((0, 0), ends) if isinstance(ends[0], int) else ends


def _dropout(layer: Any) -> Made:
    _only(layer, noise_shape=None)
    return [(layers.Dropout(float(layer.rate)), {})]


def _layer_norm(layer: Any) -> Made:
    _only(layer, rms_scaling=False)
    own = _numbers(layer, **_NORMS)
    if not own:
        raise ValueError("without a scale and a shift it has no counterpart; give it one of them")
    channels = max(each.size for each in own.values())
    return [(layers.LayerNorm(channels, layer.epsilon), own)]


def _upsample(layer: Any) -> Made:
    return [(layers.Upsample(tuple(layer.size), mode=layer.interpolation), {})]


KINDS: Mapping[str, Callable[[Any], Made]] = {
    "Activation": _activated,
    "ReLU": _relu,
    "LeakyReLU": lambda layer: [(layers.LeakyReLU(float(layer.negative_slope)), {})],
    "PReLU": _prelu,
    "ELU": lambda layer: [(layers.ELU(float(layer.alpha)), {})],
    "Softmax": _softmax,
    "Conv1D": _conv,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transposed,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "MaxPooling1D": _pool(layers.MaxPool1D),
    "MaxPooling2D": _pool(layers.MaxPool2D),
    "AveragePooling1D": _pool(layers.AveragePool1D, count_include_pad=False),
    "AveragePooling2D": _pool(layers.AveragePool2D, count_include_pad=False),
    "GlobalAveragePooling2D": _global(layers.AdaptiveAveragePool2D),
    "GlobalMaxPooling2D": _global(layers.AdaptiveMaxPool2D),
    "ZeroPadding2D": _pad,
    "UpSampling2D": _upsample,
    "Dropout": _dropout,
    "SpatialDropout2D": lambda layer: [(layers.SpatialDropout(float(layer.rate)), {})],
    "Flatten": _plain(layers.Flatten),
    "GlobalAveragePooling1D": _global(layers.AdaptiveAveragePool2D),
    "GlobalMaxPooling1D": _global(layers.AdaptiveMaxPool2D),
    "ZeroPadding1D": _pad,
    "Cropping1D": _crop,
    "Cropping2D": _crop,
    "UpSampling1D": lambda layer: [(layers.Upsample((1, layer.size)), {})],
    "SpatialDropout1D": lambda layer: [(layers.SpatialDropout(float(layer.rate)), {})],
    "LayerNormalization": _layer_norm,
}
"""Name of a Keras layer -> what makes ours of it."""

MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
"""Layers that take several inputs."""

SCALES = ("Rescaling", "Normalization")
"""Layers that multiply with numbers and add some, which nothing trains."""

FUNCTIONS: Mapping[str, Callable[[Any], Made]] = {
    "Softmax": _softmax, "ReLU": _relu,
    "Relu": _plain(layers.ReLU), "Relu6": _plain(layers.ReLU6), "Sigmoid": _plain(layers.Sigmoid),
    "Silu": _plain(layers.SiLU), "Tanh": _plain(layers.Tanh), "Selu": _plain(layers.SELU),
    "Softplus": _plain(layers.Softplus),
}  # fmt: skip
"""Name of a function of Keras that is called on what is no array yet -> the same."""

ARITHMETIC = (
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Concatenate",
    "Reshape",
)  # fmt: skip
"""Functions that do what a layer of that name does, or what is done with numbers."""

IN_TRAINING = (
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast",
    "RandomBrightness", "GaussianNoise", "GaussianDropout",
)  # fmt: skip
"""Layers that do nothing but in training."""
