"""A network as an ONNX file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__, checks
from ...files import complete
from ...losses import chosen as losses
from ...network.checkpoint import target
from ...network.network import Network
from . import package
from .drawing import Drawing, Node, size_of
from .folding import fold as fold_norms
from .writers import write

_LARGEST = 2**31 - 2**20  # bytes of a file; the rest is for what is not arrays
Shape = tuple[int, ...]


def save_onnx(
    model: Network,
    path: str | Path,
    fold: bool = False,
    pixels: bool | None = None,
    input_shape: Sequence[int] | None = None,
) -> None:
    """Write a network as an ONNX file (opset 17) that takes batches of any size.

    The file takes what the model takes, and gives what `model.forward` gives, in float32: images
    lie as its `data_format` says. Nodes and arrays have the names of the layers, "0.Conv2D" and
    "0.weight". Inputs and outputs have the names that a `Graph` was given for them, else "input"
    and "output", of several "input_0", "input_1", ...; as a file has each name once, "_2" is added
    to an output that is called like an input. What it says besides: `normalization`, class names,
    what the network is for.

    Parameters
    ----------
    fold : bool
        Whether each BatchNorm is multiplied into the convolution or dense layer before it. Such a
        network is smaller and quicker, but does not train on as the one did.
    pixels : bool, optional
        True: images go in as uint8 pixels, and the file begins with the model's `normalization`.
        False: they go in as floats that are normalised already. None: pixels if the model was
        trained on pixels, or has a normalization of its own.
    input_shape : sequence of int, optional
        Of one sample, for a model that does not say it.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If a layer has no counterpart, which is named; if no input_shape is known, or it does not
        fit; if there are more than 2 GB.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastcnn import models
    >>> save_onnx(models.build("resnet20"), "resnet20.onnx", fold=True)
    """
    onnx, path = package.onnx(), target(path)
    drawing = Drawing()
    content = _Content(model, drawing, pixels, input_shape)
    if fold:
        fold_norms(drawing, content.results)
    if size_of(drawing.arrays) > _LARGEST:
        raise ValueError("an ONNX file holds at most 2 GB: use save_safetensors")
    data = content.proto(onnx).SerializeToString(deterministic=True)
    with complete(path) as temporary:
        temporary.write_bytes(data)


class _Content:
    """The drawing of a model, and its file.

    Attributes
    ----------
    results : list of str
        The values that come out, as nodes give them.
    """

    def __init__(
        self,
        model: Network,
        drawing: Drawing,
        pixels: bool | None,
        input_shape: Sequence[int] | None,
    ) -> None:
        self.model, self.drawing = model, drawing
        self.last = model.data_format == "channels_last"
        structure = model.structure()
        graph = structure.get("graph")
        several = graph is not None and len(graph["inputs"]) > 1
        if several and input_shape is not None:
            raise ValueError("input_shape is for one input; this Graph says what its inputs are")
        sample = None if several else self._sample(input_shape)
        if graph is None:
            count = len(model.layers)
            graph = {
                "inputs": [sample],
                "calls": [(i, (i,)) for i in range(count)],
                "outputs": [count],
            }
        shapes: list[Shape] = [(1, *each) for each in graph["inputs"]]
        images = [len(shape) == 4 for shape in shapes]
        self.pixels = model.expects_pixels if pixels is None else bool(pixels)
        if pixels and not any(images):
            raise ValueError(
                f"pixels=True is for images, the model takes samples of shape {shapes[0][1:]}"
            )
        self.inputs, values = [], []
        names_in, names_out = _names(structure, drawing, len(shapes), len(graph["outputs"]))
        for number, (name, shape) in enumerate(zip(names_in, shapes, strict=True)):
            is_pixels = self.pixels and images[number]
            self.inputs.append((name, shape[1:], is_pixels))
            values.append(self._prepared(name, shape, is_pixels))
        for at, sources in graph["calls"]:
            layer = model.layers[at]
            seen: Any = tuple(shapes[source] for source in sources)
            seen = seen if layer.takes_several else seen[0]
            given = tuple(values[source] for source in sources)
            values.append(write(drawing, layer, str(at), given, seen))
            shapes.append(layer.output_shape(seen))
        self.outputs, self.results = [], []
        for name, value in zip(names_out, graph["outputs"], strict=True):
            self.outputs.append((name, self._as_people_see(shapes[value][1:])))
            self.results.append(self._given_out(values[value], shapes[value]))

    def _sample(self, input_shape: Sequence[int] | None) -> Shape:
        """Shape of one sample as layers see it, which all layers can take."""
        model = self.model
        if input_shape is None and model.input_shape is None:
            raise ValueError(
                "the model does not say what it takes: give input_shape, such as (1, 28, 28)"
            )
        asked = model.input_shape
        if input_shape is not None:
            asked = checks.sizes("save_onnx", "input_shape", input_shape)
        if model.input_shape not in (None, asked):
            raise ValueError(f"input_shape is {model.input_shape}, as the model says, not {asked}")
        assert asked is not None
        model.output_shape((1, *asked))
        return (asked[2], *asked[:2]) if self.last and len(asked) == 3 else asked

    def _as_people_see(self, sample: Shape) -> Shape:
        return (*sample[1:], sample[0]) if self.last and len(sample) == 3 else sample

    def _prepared(self, name: str, shape: Shape, pixels: bool) -> str:
        """What the first layer takes, from what comes in."""
        draw, value = self.drawing, name
        if self.last and len(shape) == 4:
            value = draw.add("Transpose", (value,), "input.channels_first", perm=[0, 3, 1, 2])
        if not pixels:
            return value
        scale, offset = (part[:, None, None] for part in self.model.normalization_of(shape[1]))
        value = draw.add("Cast", (value,), "input.floats", to=1)
        scale = draw.array("normalization.scale", scale)
        value = draw.add("Mul", (value, scale), "input.scaled")
        offset = draw.array("normalization.offset", offset)
        return draw.add("Add", (value, offset), "input.normalized")

    def _given_out(self, value: str, shape: Shape) -> str:
        """What people see of a value."""
        if self.last and len(shape) == 4:
            name = f"{value}.channels_last"
            return self.drawing.add("Transpose", (value,), name, perm=[0, 2, 3, 1])
        return value

    def _named(self) -> list[Node]:
        """The nodes, those at the end with the outputs as what they give."""
        names: dict[str, str] = {}
        copies = []
        inputs = {name for name, *_ in self.inputs}
        for (name, _), value in zip(self.outputs, self.results, strict=True):
            first = value if value in inputs else names.get(value)
            if first is not None:
                copies.append(Node("Identity", name, (first,), name, {}))
            else:
                names[value] = name
        nodes = [
            node._replace(
                inputs=tuple(names.get(each, each) for each in node.inputs),
                output=names.get(node.output, node.output),
            )
            for node in self.drawing.nodes
        ]
        return nodes + copies

    def proto(self, onnx: Any) -> Any:
        """The file's content."""
        make, kinds = onnx.helper, onnx.TensorProto
        inputs = [
            make.make_tensor_value_info(
                name,
                kinds.UINT8 if is_pixels else kinds.FLOAT,
                ["batch", *self._as_people_see(sample)],
                self._about(sample, is_pixels),
            )
            for name, sample, is_pixels in self.inputs
        ]
        outputs = [
            make.make_tensor_value_info(name, kinds.FLOAT, ["batch", *shape])
            for name, shape in self.outputs
        ]
        nodes = [
            make.make_node(node.op, node.inputs, [node.output], node.name, **node.attributes)
            for node in self._named()
        ]
        arrays = [
            onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            for name, array in self.drawing.arrays.items()
        ]
        graph = make.make_graph(nodes, self.model.name or "fastcnn", inputs, outputs, arrays)
        made = make.make_model(
            graph,
            opset_imports=[make.make_opsetid("", package.OPSET)],
            ir_version=8,  # the one of that opset: newer ones are refused by older readers
            producer_name=package.PRODUCER,
            producer_version=__version__,
        )
        make.set_model_props(made, {name: json.dumps(v) for name, v in self._metadata().items()})
        return made

    def _about(self, sample: Shape, is_pixels: bool) -> str:
        """What an input wants, in words."""
        if is_pixels:
            return package.PIXELS
        if len(sample) != 3:
            return "floats"
        scale, offset = (part.tolist() for part in self.model.normalization)
        return f"floats: pixel * scale + offset with scale {scale} and offset {offset}"

    def _metadata(self) -> dict[str, Any]:
        model = self.model
        told: dict[str, Any] = {
            package.NORMALIZATION: [part.tolist() for part in model.normalization],
            package.TASK: model.task,
            package.LOSS: losses.spec_of(model.loss),
            package.LEARNED_FROM: model.learned_from,
        }
        if model.class_names is not None:
            told[package.CLASS_NAMES] = list(model.class_names)
        return told


def _names(
    structure: dict[str, Any], drawing: Drawing, inputs: int, outputs: int
) -> tuple[list[str], list[str]]:
    """What inputs and outputs are called. Names that people chose come first, others make room."""
    found: dict[str, list[str]] = {}
    counts = {"input": inputs, "output": outputs}
    for what in sorted(counts, key=lambda each: f"{each}_names" not in structure):
        names = structure.get(f"{what}_names") or package.default_names(what, counts[what])
        found[what] = [drawing.unique(name) for name in names]
    return found["input"], found["output"]
