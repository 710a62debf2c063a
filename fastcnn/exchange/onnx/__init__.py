"""ONNX files: `out` writes them, layer by layer as `writers` says."""

from .out import save_onnx

__all__ = ["save_onnx"]
