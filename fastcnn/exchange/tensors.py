"""Models as safetensors files: arrays by name, and what the layers are as metadata."""

import json
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..files import complete, place
from ..graph import Graph
from ..network import checkpoint
from ..network.checkpoint import CheckpointError
from ..network.network import Network
from ..sequential import Sequential, kind_of
from .matching import Matched, fill_all, match, slots

LAYOUTS = ("fastcnn", "torch")
_HEADER = "fastcnn"
_FLOATS = ("F16", "F32", "F64")


def save_safetensors(model: Network, path: str | Path, layout: str = "fastcnn") -> None:
    """Write a model's arrays, and what its layers are, into a safetensors file.

    Parameters
    ----------
    layout : {"fastcnn", "torch"}
        "fastcnn": arrays as they are, for `load_safetensors(path)`. "torch": with PyTorch's names
        and shapes, for `load_state_dict` of the module that `to_torch` gives.

    Raises
    ------
    ImportError
        If the package safetensors is not installed.
    ValueError
        If there is no such layout.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastcnn import models
    >>> save_safetensors(models.build("lenet5"), "lenet5.safetensors")
    >>> load_safetensors("lenet5.safetensors").name
    'lenet5'
    """
    package = _package()
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be 'fastcnn' or 'torch', got {layout!r}")
    path = checkpoint.target(path)
    if layout == "fastcnn":
        arrays, metadata = dict(model.named_arrays()), {_HEADER: _text(model)}
    else:
        turned = {slot.theirs: slot.array.T if slot.turned else slot.array for slot in slots(model)}
        arrays, metadata = turned, {"format": "pt"}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = package.numpy.save(arrays, metadata)
    with complete(path) as temporary:
        temporary.write_bytes(content)


def _text(model: Network) -> str:
    return json.dumps(checkpoint.describe(model), default=lambda value: value.item())


@overload
def load_safetensors(path: str | Path) -> Sequential | Graph: ...
@overload
def load_safetensors(path: str | Path, model: Network) -> Matched: ...
def load_safetensors(
    path: str | Path, model: Network | None = None
) -> Sequential | Graph | Matched:
    """Read what `save_safetensors` wrote; or any such file's arrays into a model of yours.

    Shapes are compared before any array is read, nothing in a file is executed, and no memory is
    taken for more than the file holds.

    Parameters
    ----------
    model : Network, optional
        Where the arrays belong, by name or by order; without one it is built from the file, which
        must be of layout "fastcnn".

    Returns
    -------
    Sequential, Graph or Matched
        The model, or a table of what came from where.

    Raises
    ------
    ImportError
        If the package safetensors is not installed.
    CheckpointError
        A ValueError, if the file is missing, damaged, something else, or does not fit the model,
        which is then as it was.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> save_safetensors(Sequential(Dense(2, 1)), "small.safetensors")
    >>> print(load_safetensors("small.safetensors", Sequential(Dense(2, 1))))
    2 arrays by name:
      0.weight  from 0.weight
      0.bias    from 0.bias
    """
    package, path = _package(), place(path)
    if path.is_dir():
        raise CheckpointError(f"{path} cannot be read: it is a folder")
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    try:
        with package.safe_open(path, framework="numpy") as file:
            return _build(file) if model is None else _fill(file, model)
    except package.SafetensorError as error:
        raise CheckpointError(f"{path} is damaged, or no safetensors file: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, LookupError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def _build(file: Any) -> Sequential | Graph:
    text = (file.metadata() or {}).get(_HEADER)
    if text is None:
        raise ValueError(
            "the file does not say which layers it belongs to: build the model, and give it as "
            "load_safetensors(path, model), or to convert as --model"
        )
    _check_floats(file)
    try:
        header = json.loads(text)
        if not isinstance(header, dict):
            raise ValueError("it is no list of layers")
        arrays = {name: file.get_tensor(name) for name in _names(file)}
        return checkpoint.rebuild(header, arrays, kind_of(header))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(
            f"it does not describe a model that this fastcnn can build: {error}"
        ) from None


def _fill(file: Any, model: Network) -> Matched:
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in _names(file)}
    matched, pairs = match(model, shapes, ours=_HEADER in (file.metadata() or {}))
    _check_floats(file, [name for _, name in pairs])
    fill_all(model, pairs, file.get_tensor)
    return matched


def _names(file: Any) -> list[str]:
    return list(file.keys())


def _check_floats(file: Any, names: list[str] | None = None) -> None:
    for name in _names(file) if names is None else names:
        kind = file.get_slice(name).get_dtype()
        if kind not in _FLOATS:
            raise ValueError(f"the array {name!r} is {kind}; known are {', '.join(_FLOATS)}")


def _package() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "safetensors files need the package safetensors: pip install 'fastcnn[interop]'"
        ) from None
    return safetensors
