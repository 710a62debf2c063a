"""ONNX files, out and in.

Out: `out` draws the network layer by layer, as `writers` says. In: `wire` and `file` read, `inputs`
and `into` follow the nodes, `patterns`, `adaptive`, `operators` and `elements` make layers of them,
and `constants` computes what needs no input.
"""

from .into import load_onnx
from .out import save_onnx

__all__ = ["load_onnx", "save_onnx"]
