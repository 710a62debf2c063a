"""Files that hold models: what is in them, and reading them without trusting them.

A checkpoint is an ordinary .npz file that `numpy.load` opens without pickle. Its member "header"
holds JSON text as bytes; all others are arrays:

    model/0.weight ...     parameters and states of the model
    optimizer/velocity ... state of the optimizer             (training checkpoints only)
    best/0.weight ...      parameters of the best epoch       (training checkpoints only)
    average/0.weight ...   moving averages, where kept        (training checkpoints only)
    part-model/...         the same within the next epoch: part-model, part-optimizer, part-average

Nothing is compressed, so no array in a file can be larger than the file itself. Whoever damages a
file is found out by a checksum over the whole, which is the archive's comment; files of version 0.1
have none, and are checked by those of their members. A file is written beside its place and then
moved there, so an interrupted write leaves the old file as it was.
"""

import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ..files import complete, npy_header, place
from ..layers import from_spec
from ..losses import chosen as losses
from .network import Network

FORMAT = "fastcnn checkpoint"
VERSION = 1

_HEADER = "header"
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_MEMBERS = 100_000

Arrays = dict[str, np.ndarray]
Kind = TypeVar("Kind", bound=Network)


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or belongs to another model; says which and why."""


# --- models and training runs


def describe(model: Network) -> dict[str, Any]:
    """Everything about a model besides its arrays, as JSON can hold it."""
    input_shape, class_names = model.input_shape, model.class_names
    return {
        "layers": [layer.spec() for layer in model.layers],
        **model.structure(),
        "frozen": list(model.frozen),
        "dtype": str(model.dtype),
        "seed": int(model.seed),
        "data_format": model.data_format,
        "name": model.name,
        "input_shape": None if input_shape is None else list(input_shape),
        "class_names": None if class_names is None else list(class_names),
        "normalization": [part.tolist() for part in model.normalization],
        "learned_from": model.learned_from,
        "task": model.task,
        "loss": losses.spec_of(model.loss),
    }


def rebuild(header: dict[str, Any], arrays: Arrays, kind: type[Kind]) -> Kind:
    """The model, of a kind of network, that `describe(model)` and `model.copy_arrays()` speak of.

    Raises
    ------
    ValueError, TypeError, LookupError
        If they speak of none.
    """
    layers = [from_spec(spec).astype(header["dtype"]) for spec in header["layers"]]
    # Before memory is taken: a damaged description may speak of billions of weights.
    shapes = {}
    for i, layer in enumerate(layers):
        for path, leaf in layer.leaves(str(i)):
            for name, shape in (leaf.parameter_shapes() | leaf.state_shapes()).items():
                shapes[f"{path}.{name}"] = shape
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise ValueError("its arrays are not those of its layers")
    model = kind.of_layers(
        layers,
        header,
        seed=header["seed"],
        data_format=header["data_format"],
        name=header["name"],
        input_shape=header["input_shape"],
        class_names=header["class_names"],
    )
    model.normalization = header["normalization"]
    model.learned_from = header.get("learned_from")  # files of version 0.1 do not say
    if "task" in header:  # these are for classes
        loss = losses.from_spec(header["loss"])
        model.trained_by(loss, header["task"])
    model.load_arrays(arrays)
    leaves = {path: leaf for i, layer in enumerate(layers) for path, leaf in layer.leaves(str(i))}
    for path in header.get("frozen", ()):  # files of version 0.1 name none
        leaves[path].trainable = False
    return model


def save_model(model: Network, path: str | Path) -> None:
    """Write a model: layers, parameters, states, normalization, class names.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write(path, {"model": describe(model)}, {"model": dict(model.named_arrays())})


# --- the file


def _plain(value: Any) -> Any:
    """NumPy numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def target(path: str | Path) -> Path:
    """Where a model's file is written. Its folder is not made: its name may be misspelt.

    Raises
    ------
    FileNotFoundError
        If it has no folder.
    """
    path = place(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    return path


def write(path: str | Path, header: dict[str, Any], groups: dict[str, Arrays]) -> None:
    """Write header and arrays to `path`, all or nothing."""
    path = target(path)
    text = json.dumps({"format": FORMAT, "version": VERSION, **header}, default=_plain)
    members = {_HEADER: np.frombuffer(text.encode(), np.uint8)}
    for group, arrays in groups.items():
        members |= {f"{group}/{name}": array for name, array in arrays.items()}
    with complete(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **members)  # type: ignore[arg-type]
        file.flush()
        _seal(temporary)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """(header, groups) of what `write` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or something else.
    """
    path = place(path)
    try:
        with open(path, "rb") as file:
            members = _members(file)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except IsADirectoryError:
        best = path / "best.npz"
        hint = f"; name {best}" if best.is_file() else ""
        raise CheckpointError(f"{path} cannot be read: it is a folder{hint}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except _NotOurs as error:
        is_onnx = path.suffix.lower() == ".onnx"
        hint = f"; python -m fastcnn.convert {path} model.npz makes one of it" if is_onnx else ""
        raise CheckpointError(f"{path} is not a fastcnn checkpoint: {error}{hint}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
    try:
        header = json.loads(members.pop(_HEADER).tobytes())
    except (KeyError, ValueError, RecursionError):
        raise CheckpointError(f"{path} is not a fastcnn checkpoint: it has no header") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a fastcnn checkpoint: its header says otherwise")
    if header.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has version {header.get('version')!r}; this fastcnn reads version {VERSION}"
        )
    groups: dict[str, Arrays] = {}
    for name, array in members.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    return header, groups


_SEAL = b"fastcnn blake2b "
_SEAL_BYTES = len(_SEAL) + 64  # and 32 bytes in hexadecimal digits
_LENGTH = struct.Struct("<H")  # of an archive's comment, the last number before it


def _checksum(file: IO[bytes], count: int) -> bytes:
    """Of the first so many bytes of a file."""
    state = hashlib.blake2b(digest_size=32)
    file.seek(0)
    while count > 0 and (block := file.read(min(count, 2**20))):
        state.update(block)
        count -= len(block)
    return _SEAL + state.hexdigest().encode()


def _seal(path: Path) -> None:
    """Give an archive without a comment one: the checksum of all before it."""
    with open(path, "rb+") as file:
        count = file.seek(0, os.SEEK_END) - _LENGTH.size
        comment = _checksum(file, count)
        file.seek(count)
        file.write(_LENGTH.pack(len(comment)) + comment)


def _check_seal(file: IO[bytes]) -> None:
    """Refuse an archive whose comment is not the checksum of all before it, unless it has none."""
    count = file.seek(0, os.SEEK_END) - _SEAL_BYTES - _LENGTH.size
    if count > 0:
        file.seek(count)
        end = file.read()
        if end[: _LENGTH.size] == _LENGTH.pack(_SEAL_BYTES) and end[_LENGTH.size :].startswith(
            _SEAL
        ):
            if end[_LENGTH.size :] != _checksum(file, count):
                raise ValueError("its checksum is not that of what it holds")
            return
    with zipfile.ZipFile(file) as archive:
        if archive.comment:
            raise ValueError("its end is missing, or not what was written")


class _NotOurs(Exception):
    """The file is well-formed, but not what `write` writes."""


def _members(file: Any) -> Arrays:
    """All arrays of an open .npz file, each checked before memory is taken for it."""
    size = os.fstat(file.fileno()).st_size
    if not zipfile.is_zipfile(file):
        file.seek(0)
        is_zip = file.read(2) == b"PK"
        raise ValueError("its end is missing") if is_zip else _NotOurs("it is no .npz file")
    _check_seal(file)
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > _MAX_MEMBERS:
            raise _NotOurs(f"it has {len(entries)} members")
        # Entries may claim the same bytes twice, hence the sum.
        if sum(entry.file_size for entry in entries) > size:
            raise _NotOurs("it claims to hold more than its size, or is compressed")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise _NotOurs("it is compressed or encrypted")
            name = entry.filename.removesuffix(".npy")
            if name == _HEADER and entry.file_size > _MAX_HEADER_BYTES:
                raise _NotOurs("its header is too long")
            arrays[name] = _array(archive.read(entry), name)
    return arrays


def _array(data: bytes, name: str) -> np.ndarray:
    """The array of an .npy file in memory; a view of `data`."""
    stream = io.BytesIO(data)
    shape, fortran_order, dtype = npy_header(stream)
    start = stream.tell()
    if dtype.kind not in "fiub" or (fortran_order and len(shape) > 1):
        raise _NotOurs(f"the array {name!r} holds {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"the array {name!r} is not as long as its shape {shape} asks for")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)
