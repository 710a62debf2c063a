"""BatchNorm in the weights of what stands before it."""

import numpy as np

from .drawing import Drawing, Node

# Operator -> the axis of its weight that the outputs are on.
_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1}


def fold(drawing: Drawing, outputs: list[str]) -> None:
    """Multiply each BatchNormalization into the weights before it, where nothing else needs them.

        gamma * (x @ weight + bias - mean) / sqrt(variance + eps) + beta

    is of the same form, with weight * factor and (bias - mean) * factor + beta for
    factor = gamma / sqrt(variance + eps), computed in double precision.
    """
    uses: dict[str, int] = dict.fromkeys(outputs, 1)
    for node in drawing.nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    makers = {node.output: node for node in drawing.nodes}
    kept: list[Node] = []
    for node in drawing.nodes:
        maker = makers.get(node.inputs[0]) if node.op == "BatchNormalization" else None
        # A bias that a fold has made has no other use: what is folded may be followed by another.
        alone = maker is not None and all(
            uses.get(name, 1) == 1 for name in (*maker.inputs[1:], maker.output)
        )
        if maker is None or maker.op not in _AXES or not alone:
            kept.append(node)
            continue
        kept[kept.index(maker)] = _folded(drawing, maker, node)
        makers[node.output] = kept[-1]
    drawing.nodes[:] = kept
    needed = {name for node in kept for name in node.inputs}
    drawing.arrays = {name: a for name, a in drawing.arrays.items() if name in needed}


def _folded(drawing: Drawing, maker: Node, norm: Node) -> Node:
    gamma, beta, mean, variance = (
        drawing.arrays[name].astype(np.float64) for name in norm.inputs[1:]
    )
    factor = gamma / np.sqrt(variance + norm.attributes["epsilon"])
    _, weight, *rest = maker.inputs
    values = drawing.arrays[weight].astype(np.float64)
    groups = maker.attributes.get("group", 1)
    # A transposed convolution has its outputs group by group: (inputs, outputs of one group, ...).
    axis = _AXES[maker.op]
    if maker.op == "ConvTranspose" and groups > 1:
        parts = values.reshape(groups, -1, *values.shape[1:])
        shaped = factor.reshape(groups, 1, -1, *(1,) * (values.ndim - 2))
        values = (parts * shaped).reshape(values.shape)
    else:
        values = values * factor.reshape((-1,) + (1,) * (values.ndim - 1 - axis))
    bias = drawing.arrays[rest[0]].astype(np.float64) if rest else 0.0
    name = rest[0] if rest else f"{weight.removesuffix('weight')}bias"
    drawing.arrays[weight] = values.astype(np.float32)
    drawing.arrays[name] = ((bias - mean) * factor + beta).astype(np.float32)
    return maker._replace(inputs=(maker.inputs[0], weight, name), output=norm.output)
