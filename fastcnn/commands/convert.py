"""Options of ``python -m fastcnn.convert``: a network from one file format to another.

Exit codes: 0 converted, 1 cannot be written, 2 cannot be converted.
"""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .. import exchange, models
from ..exchange import Matched
from ..files import make_folder, place, remove_empty
from ..graph import Graph
from ..network.checkpoint import CheckpointError
from ..runs.saved import Saved
from ..sequential import Sequential
from ..terminal import one_line
from . import interrupt, options

_PROGRAM = "python -m fastcnn.convert"
_STATES = (".pt", ".pth")
_READ = (".npz", ".onnx", ".safetensors", *_STATES)
_WRITTEN = (".npz", ".onnx", ".safetensors")
# What PyTorch's scripts keep a state under, beside an optimizer and the like.
_INSIDE = ("state_dict", "model_state_dict", "model")

Model = Sequential | Graph


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Convert a network; the endings of the two names say from what to what.

    Read are a run's folder, .npz (saved models), .onnx, .safetensors, and with PyTorch installed
    .pt and .pth (states, of which nothing is executed); written .npz, .onnx, .safetensors.

    Exit codes: 0 converted, 1 cannot be written, 2 cannot be converted.
    """

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FROM")]] = ""
    """The network: a run's folder, or a file."""
    target: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TO")]] = ""
    """The file to write."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE|None")] = None
    """The network that arrays belong to, where FROM has nothing else: a named one, a run or a file.
    They come by name or by order."""
    fold: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Multiply BatchNorm into the layer before it (.onnx)."""
    takes: Literal["pixels", "floats"] | None = None
    """What goes into an .onnx file: uint8 pixels, which it normalises, or floats that are. None:
    what the network was trained on."""
    input_shape: tuple[int, ...] | None = None
    """Of one sample, such as 3 32 32, for an .onnx file or a network that does not say it."""
    layout: Literal["fastcnn", "torch"] = "fastcnn"
    """How a .safetensors file names its arrays: ours, to be read again, or as PyTorch does."""
    replace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Put the new file in the place of one that is there."""


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        arguments = options.parse(Arguments(), options.spelled(Arguments, argv), _PROGRAM)
        if not arguments.source or not arguments.target:
            raise ValueError(f"from what to what? name both: {_PROGRAM} run net.onnx")
        with interrupt.answered("interrupted; nothing was written"):
            return _convert(arguments)
    except (ValueError, ImportError) as error:
        return options.refuse(error, 2)
    except OSError as error:
        return options.refuse(error, 1)


def _convert(arguments: Arguments) -> int:
    target = options.output(arguments.target, arguments.source)
    ending = _ending(target, _WRITTEN, "written")
    _check(arguments, ending)
    if target.exists() and not arguments.replace:
        raise ValueError(f"{target} is there already: give another name, or --replace")
    model, matched = _read(arguments)
    folders = make_folder(target.parent)
    try:
        _write(model, target, ending, arguments)
    finally:
        remove_empty(folders)  # where nothing was written
    if matched is not None:
        print(matched)
    print(f"written: {one_line(target)}, {_described(model)}")
    return 0


def _write(model: Model, target: Path, ending: str, arguments: Arguments) -> None:
    if ending == ".onnx":
        takes = None if arguments.takes is None else arguments.takes == "pixels"
        from_onnx = arguments.source.lower().endswith(".onnx")
        shape = None if from_onnx else arguments.input_shape  # the file's sizes are known by now
        exchange.save_onnx(model, target, arguments.fold, takes, shape)
    elif ending == ".safetensors":
        exchange.save_safetensors(model, target, arguments.layout)
    else:
        model.save(target)


def _ending(path: Path, known: Sequence[str], done: str) -> str:
    """The format of a file, by its name."""
    ending = path.suffix.lower()
    if ending in known:
        return ending
    instead = "; for PyTorch write .safetensors with --layout torch" if ending in _STATES else ""
    raise ValueError(f"{path} has none of the endings that are {done}: {', '.join(known)}{instead}")


def _check(arguments: Arguments, ending: str) -> None:
    """Refuse options that would do nothing."""
    for name, given, belongs in (
        ("fold", arguments.fold, ".onnx"),
        ("takes", arguments.takes is not None, ".onnx"),
        ("layout", arguments.layout != "fastcnn", ".safetensors"),
    ):
        if given and ending != belongs:
            raise ValueError(f"--{name} is for {belongs} files, not for {ending}")
    endings = ending, place(arguments.source).suffix.lower()
    if arguments.input_shape is not None and ".onnx" not in endings:
        raise ValueError("--input-shape is for .onnx files, and here is none")


# --- reading --------------------------------------------------------------------------------------


def _read(arguments: Arguments) -> tuple[Model, Matched | None]:
    """The network; and a table, where its arrays came into another one."""
    source = place(arguments.source)
    if not source.exists():
        raise ValueError(f"there is no run folder or file {source}")
    ending = ".npz" if source.is_dir() else _ending(source, _READ, "read")
    if arguments.model is None:
        return _whole(source, ending, arguments.input_shape), None
    if ending not in (".safetensors", *_STATES):
        raise ValueError(f"{source} says itself what its network is: leave out --model")
    model = _named(arguments.model)
    if ending == ".safetensors":
        return model, exchange.load_safetensors(source, model)
    try:
        return model, exchange.load_state(model, _state(source))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _whole(source: Path, ending: str, input_shape: tuple[int, ...] | None) -> Model:
    """The network of a file that says what it is."""
    if ending == ".npz":
        return Saved(source).model
    if ending == ".onnx":
        return exchange.load_onnx(source, input_shape)
    if ending == ".safetensors":
        return exchange.load_safetensors(source)
    raise ValueError(
        f"{source} holds arrays, and not what network they belong to: give it as --model, one of "
        f"{', '.join(models.names())} or a file"
    )


def _named(name: str) -> Model:
    """A named network, or that of a run or file."""
    path = place(name)
    if not path.exists():
        return models.build(name)
    return _whole(path, ".npz" if path.is_dir() else _ending(path, _READ, "read"), None)


def _state(path: Path) -> Mapping[str, Any]:
    """The arrays of a file that PyTorch wrote; of anything else in it nothing is loaded."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError(f"{path} needs PyTorch: pip install torch") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged file fails in every way in which a program can
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} holds no state that can be read: {reason}") from None
    for name in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    is_state = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not is_state or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise CheckpointError(f"{path} holds no state, a dictionary of tensors by name")
    return found


# --- telling --------------------------------------------------------------------------------------


def _described(model: Model) -> str:
    """What was written, in one line."""
    count = sum(array.size for _, array in model.named_arrays())
    kind, layers = type(model).__name__, len(model.layers)
    takes = "" if model.input_shape is None else f" for {model.input_shape}"
    return f"a {kind}{takes} of {layers} layer{'s' * (layers != 1)} with {count:,} numbers"
