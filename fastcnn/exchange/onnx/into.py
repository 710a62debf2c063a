"""An ONNX file as a network."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...files import place
from ...graph import Graph, by_names
from ...layers.symbols import input_of
from ...losses import chosen as losses
from ...network.checkpoint import CheckpointError
from ...sequential import Sequential
from . import adaptive, package
from .at import At, Values
from .constants import Purse, can_fold, fold, part_of
from .elements import INSTEAD, OPERATORS, affine
from .file import LARGEST, Content, Op, Value, content
from .inputs import Prepared, Uses, prepare, sizes, turned_out
from .patterns import OF_SERIES, Matcher
from .wire import DamagedError

_WRONG = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError)
_BY_ARRAY = ("Add", "Sub", "Mul", "Div")
_WITH_BIAS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def load_onnx(path: str | Path, input_shape: Sequence[int] | None = None) -> Sequential | Graph:
    """Read an ONNX file as a network that trains on: a Sequential, or a Graph if it branches.

    Nodes become layers as docs/exchange.md says; what follows from the file alone is computed. A
    value that is multiplied by, or added to, an array of the file for each channel becomes a frozen
    BatchNorm. A Graph has the file's names of its outputs, and of its inputs, where all of them are
    words and somebody chose them. Nothing in a file is executed, other files are not opened, and no
    more memory is taken than is of the order of the file's size.

    Parameters
    ----------
    input_shape : sequence of int, optional
        Of one sample, for a file that leaves it open.

    Raises
    ------
    CheckpointError
        A ValueError, if the file is missing, damaged or something else, or has a node that no layer
        can stand for; the sentence names the node and what could replace it.

    Examples
    --------
    >>> from fastcnn import models
    >>> from fastcnn.exchange import save_onnx
    >>> save_onnx(models.build("lenet5"), "lenet5.onnx")
    >>> load_onnx("lenet5.onnx").layers[0]
    Conv2D(1, 6, kernel_size=5, padding=2)
    """
    path = place(path)
    try:
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"{path} has more than 2 GB, which no ONNX file has")
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} cannot be read: it is a folder") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return _Building(content(data), len(data), input_shape).network()
    except DamagedError as error:
        raise CheckpointError(f"{path} is damaged, or no ONNX file: {error}") from None
    except _WRONG as error:
        raise CheckpointError(f"{path}: {error}") from None


class _Building:
    """A network while it is built from what a file says."""

    def __init__(self, found: Content, size: int, input_shape: Sequence[int] | None) -> None:
        self.found, self.values = found, Values(Purse(size))
        self.values.arrays.update(found.arrays)
        self.makers: dict[str, Op] = {}
        self._check_order()
        for node in found.nodes:
            _clip_as_inputs(node, self.values)
        self.uses = Uses(found)
        for node in found.nodes:
            if can_fold(node) and all(name in self.values.arrays for name in node.inputs):
                self._fold(node)
        self.inputs = self._inputs(input_shape)
        self.outputs = [self._output(value.name) for value in found.outputs]
        self.matcher = Matcher(self.makers, self.values.arrays)

    def _check_order(self) -> None:
        """Refuse values that two nodes give, or that a node needs before they are there."""
        known = set(self.found.arrays)
        for value in self.found.inputs:
            if value.name in known:
                raise ValueError(f"it has two values called {value.name!r}")
            known.add(value.name)
        for node in self.found.nodes:
            for name in node.inputs:
                if name and name not in known:
                    raise ValueError(f"{node.spoken} needs {name!r}, which nothing before it gives")
            for name in filter(None, node.outputs):
                if name in known:
                    raise ValueError(f"it has two values called {name!r}")
                known.add(name)
                self.makers[name] = node
        if not self.found.inputs or not self.found.outputs:
            raise ValueError("it has no input, or no output")
        for value in self.found.outputs:
            if value.name not in self.makers:
                raise ValueError(f"its output {value.name!r} comes from no node")

    def _fold(self, node: Op) -> None:
        arrays = [self.values.arrays[name] for name in node.inputs]
        self.values.arrays[node.outputs[0]] = fold(node, arrays, self.values.purse)

    # --- what goes in and comes out ---------------------------------------------------------------

    def _inputs(self, input_shape: Sequence[int] | None) -> list[Prepared]:
        prepared = []
        if input_shape is not None and len(self.found.inputs) > 1:
            raise ValueError(f"it has {len(self.found.inputs)} inputs: input_shape is for one")
        for value in self.found.inputs:
            batch, sample = sizes(value, input_shape)
            if batch is not None:
                self.values.batch = batch
            prepared.append(prepare(value, sample, self.uses, self.values.arrays))
        is_last = any(each.symbol.data_format == "channels_last" for each in prepared)
        if all(len(each.symbol.seen) != 3 for each in prepared):  # images come out only
            is_last = any(turned_out(self.makers[value.name]) for value in self.found.outputs)
        if is_last:
            prepared = [  # vectors and series lie alike
                each if len(each.symbol.seen) == 3
                else each._replace(symbol=input_of(each.symbol.seen, "channels_last"))
                for each in prepared
            ]  # fmt: skip
        self.values.symbols.update((each.value, each.symbol) for each in prepared)
        return prepared

    def _output(self, name: str) -> str:
        """The value that comes out, as layers see it."""
        node = self.makers[name]
        last = self.inputs[0].symbol.data_format == "channels_last"
        return node.inputs[0] if last and turned_out(node) else name

    # --- nodes ------------------------------------------------------------------------------------

    def network(self) -> Sequential | Graph:
        """The network.

        Raises
        ------
        ValueError
            If no layer can stand for a node; names it.
        """
        for node, make in self._plan():
            _for_node(node, make)
        inputs = [each.symbol for each in self.inputs]
        outputs = []
        for value, name in zip(self.found.outputs, self.outputs, strict=True):
            if name not in self.values.symbols:
                raise ValueError(f"its output {name!r} does not depend on its input")
            symbol = self.values.symbols[name]
            is_last = symbol.data_format == "channels_last"
            if is_last and len(symbol.seen) == 3 and name == value.name:
                raise ValueError(
                    f"its input is (N, H, W, C) and its output {name!r} (N, C, H, W); with a "
                    f"Transpose at its end both would lie alike"
                )
            if name != value.name and len(symbol.seen) != 3:
                raise ValueError(
                    f"its output {value.name!r} is of images, not {('N', *symbol.seen)}"
                )
            outputs.append(symbol)
        named_in = _named("input", self.found.inputs, inputs)
        made: Sequential | Graph = Graph(named_in, _named("output", self.found.outputs, outputs))
        if made.is_row and len(inputs) == 1:
            first = inputs[0]
            made = Sequential(*made.layers, input_shape=first.shape, data_format=first.data_format)
        self._tell(made)
        return made

    def _plan(self) -> list[tuple[Op, Callable[[], None]]]:
        """What makes the values that are needed, in the order of the nodes."""
        needed = set(self.outputs) - set(self.values.arrays)
        plans: list[tuple[Op, Callable[[], None]]] = []
        for node in reversed(self.found.nodes):
            for number, output in enumerate(node.outputs):
                if not output or output not in needed or output in self.values.symbols:
                    continue
                if number and node.op != "Split":
                    raise ValueError(
                        f"{node.spoken}: only its first output is known, not {output!r}"
                    )
                if node.domain not in ("", "ai.onnx"):
                    raise ValueError(
                        f"{node.spoken} is of the domain {node.domain!r}, which is not read"
                    )
                make, sources = _for_node(node, partial(self._way, node, output))
                plans.append((node, make))
                needed.update(name for name in sources if name not in self.values.arrays)
        return plans[::-1]

    def _way(self, node: Op, output: str) -> tuple[Callable[[], None], Sequence[str]]:
        """What makes a node's value, and the values that this needs."""
        made, x, names = self.matcher.find(output)
        if made is not None:
            at = At(node, self.values, self.found.opset, names)
            return partial(self._become, at, output, made, x), [x]
        pool = adaptive.find(self.makers, self.values.arrays, output)
        if pool is not None:
            at = At(node, self.values, self.found.opset)
            return partial(self._pool, at, output, pool), [pool.x]
        before = self._takes_bias(node)
        if before is not None:
            maker, bias = before
            return partial(self._with_bias, maker, output, bias), maker.inputs
        return partial(self._translate, node, output), node.inputs

    def _become(self, at: At, output: str, made: Any, x: str) -> None:
        layer, arrays, shape = made
        symbol = self.values.symbols[x]
        if len(symbol.seen) == 2:
            layer = OF_SERIES[type(layer)]() if type(layer) in OF_SERIES else layer
        if shape is not None and shape.tolist()[1:] != [*symbol.seen]:
            raise at.refuse(f"it makes {shape.tolist()} of {('N', *symbol.seen)} again")
        arrays = {name: at.by_channel(symbol.seen, array) for name, array in arrays.items()}
        self.values.symbols[output] = at.become(layer, symbol, arrays=arrays)

    def _pool(self, at: At, output: str, pool: adaptive.Pool) -> None:
        x = self.values.symbols[pool.x]
        if x.seen[1:] != pool.sides:
            raise at.refuse(
                f"it pools images of {pool.sides} pixels, its input is {('N', *x.seen)}"
            )
        self.values.symbols[output] = at.become(pool.layer, x)

    def _takes_bias(self, node: Op) -> tuple[Op, str] | None:
        """The node with weights whose bias an Add is, and the bias."""
        if node.op != "Add" or len(node.inputs) != 2:
            return None
        for value, bias in (node.inputs, node.inputs[::-1]):
            maker, array = self.makers.get(value), self.values.arrays.get(bias)
            if maker is None or array is None or maker.op not in _WITH_BIAS:
                continue
            weight = self.values.arrays.get(maker.inputs[1]) if len(maker.inputs) == 2 else None
            if weight is None or self.uses.count(value) != 1:
                continue
            axis = 0 if maker.op == "Conv" or maker.attributes.get("transB") else 1
            outputs = weight.shape[axis] if weight.ndim > axis else 0
            outputs *= maker.attributes.get("group", 1) if maker.op == "ConvTranspose" else 1
            padded = (1,) * (weight.ndim - array.ndim) + array.shape
            if len(padded) == weight.ndim > 1 and array.size == padded[1] == outputs:
                return maker, bias
        return None

    def _with_bias(self, maker: Op, output: str, bias: str) -> None:
        at = At(maker, self.values, self.found.opset, (bias,))
        array = self.values.arrays[bias].reshape(-1)
        make: Any = OPERATORS[maker.op]
        # Errors are about the node with weights, not the Add.
        self.values.symbols[output] = _for_node(maker, lambda: make(at, array))

    def _translate(self, node: Op, output: str) -> None:
        values = self.values
        if node.op == "Shape" and node.inputs and node.inputs[0] in values.symbols:
            shape = np.array([values.batch, *values.symbols[node.inputs[0]].seen], np.int64)
            values.arrays[output] = part_of(node, shape)
            return
        known = [name in values.arrays for name in node.inputs if name]
        if can_fold(node) and all(known):
            self._fold(node)
            return
        at = At(node, values, self.found.opset, (output,) if node.op == "Split" else ())
        if node.op in _BY_ARRAY and any(known) and len(known) == 2:
            values.symbols[output] = affine(at)
        elif node.op in OPERATORS and node.inputs:
            values.symbols[output] = OPERATORS[node.op](at)
        else:
            instead = INSTEAD.get(node.op)
            raise at.refuse(
                f"no layer does this; {instead} could stand there instead"
                if instead
                else f"no layer does this; known are {', '.join(sorted(OPERATORS))}"
            )

    # --- what the file says besides ---------------------------------------------------------------

    def _tell(self, made: Sequential | Graph) -> None:
        """Write what the file says into the model."""
        notes = self.found.metadata
        pixels = [each.normalization for each in self.inputs if each.normalization is not None]
        if len(pixels) > 1:  # of images with other numbers of channels, perhaps
            pixels = [(_one_if_alike(scale), _one_if_alike(offset)) for scale, offset in pixels]
        for scale, offset in pixels:
            same = [np.array_equal(a, b) for a, b in zip(pixels[0], (scale, offset), strict=True)]
            if not all(same):
                raise ValueError("its inputs hold pixels that are normalised in different ways")
        made.learned_from = "pixels" if pixels else None
        if pixels:
            made.normalization = pixels[0]
        elif package.NORMALIZATION in notes:
            made.normalization = notes[package.NORMALIZATION]
        if notes.get(package.LEARNED_FROM) in ("pixels", "floats"):
            made.learned_from = notes[package.LEARNED_FROM]
        names = notes.get(package.CLASS_NAMES)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            made.class_names = tuple(names)
        if package.TASK in notes:
            made.trained_by(losses.from_spec(notes.get(package.LOSS)), notes[package.TASK])
        if package.TASK in notes and self.found.name != package.PRODUCER:
            made.name = self.found.name


def _for_node(node: Op, make: Callable[[], Any]) -> Any:
    """Run it; its errors name the node."""
    try:
        return make()
    except _WRONG as error:
        if str(error).startswith("the node "):
            raise
        raise ValueError(f"{node.spoken} cannot be taken: {error}") from None


def _one_if_alike(numbers: np.ndarray) -> np.ndarray:
    """One number where all channels have the same."""
    numbers = np.atleast_1d(numbers)
    return numbers[:1] if (numbers == numbers[0]).all() else numbers


def _named(what: str, values: list[Value], symbols: list[Any]) -> Any:
    """Inputs or outputs by the names that the file has for them, if these say something."""
    names = [value.name for value in values]
    is_default = names == package.default_names(what, len(names))
    return symbols if is_default else by_names(what, names, symbols)


def _clip_as_inputs(node: Op, values: Values) -> None:
    """The limits of a Clip as later versions have them, for the patterns."""
    if node.op != "Clip" or len(node.inputs) != 1:
        return
    for name in ("min", "max"):
        limit = node.attributes.get(name)
        if isinstance(limit, float):
            array = f"{node.outputs[0] if node.outputs else ''} {name}"
            values.arrays.setdefault(array, np.array(limit, np.float32))
            node.inputs.append(array)
        else:
            node.inputs.append("")
