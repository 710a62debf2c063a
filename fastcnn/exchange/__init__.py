"""Networks to and from other libraries: ONNX and safetensors files, PyTorch's modules and states.

Examples
--------
>>> from fastcnn import exchange, models
>>> model = models.build("mnist-baseline")
>>> exchange.save_safetensors(model, "model.safetensors")  # doctest: +SKIP
>>> same = exchange.load_safetensors("model.safetensors")  # doctest: +SKIP
>>> exchange.save_onnx(model, "model.onnx")  # doctest: +SKIP
>>> same = exchange.load_onnx("model.onnx")  # doctest: +SKIP
>>> module = exchange.to_torch(model)  # doctest: +SKIP
"""

from .keras import from_keras
from .matching import Matched, load_state
from .onnx import load_onnx, save_onnx
from .tensors import load_safetensors, save_safetensors
from .torch import from_torch, to_torch

__all__ = [
    "Matched",
    "from_keras",
    "from_torch",
    "load_onnx",
    "load_safetensors",
    "load_state",
    "save_onnx",
    "save_safetensors",
    "to_torch",
]
