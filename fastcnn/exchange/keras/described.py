"""What a Keras model says of itself: its graph, and the names of what goes in and comes out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_UNNAMED = re.compile(r"input_layer(_\d+)?")  # what Keras calls inputs unasked

Key = tuple[str, int, int]
"""A value: the layer that gives it, which of its calls, which of the values that this gives."""
Given = Key | float
"""What a layer is called with: a value, or a number that it is added to or the like."""


def is_a(model: Any, kind: str) -> bool:
    """Whether it is of a class of Keras, or of one derived from it."""
    return any(each.__name__ == kind for each in type(model).__mro__)


def config_of(model: Any) -> Mapping[str, Any]:
    """The description of a functional model.

    Raises
    ------
    ValueError
        If it gives none.
    """
    config = model.get_config()
    if "input_layers" not in config:
        raise ValueError(
            f"from_keras, model {model.name!r}: its class {type(model).__name__} does not say how "
            f"its layers are connected; give keras.Model(model.inputs, model.outputs)"
        )
    return config


def ends_in(found: Any) -> list[Key]:
    """The values that go into a model, in the order of ``model.inputs``: dicts by sorted keys."""
    if isinstance(found, Mapping):
        return [end for key in sorted(found) for end in ends_in(found[key])]
    if len(found) == 3 and isinstance(found[0], str):
        name, number, place = found
        return [(name, number, place)]
    return [end for each in found for end in ends_in(each)]


def ends_out(model: Any, found: Any) -> list[Key]:
    """The values that come out, their calls counted as `calls_in` does."""
    # Keras counts the calls of an inside model from 1 here, and from 0 where a layer is given one.
    return [
        (name, number - is_a(layer_of(model, name), "Functional"), place)
        for name, number, place in ends_in(found)
    ]


def calls_in(model: Any, config: Mapping[str, Any]) -> Iterator[tuple[str, int, list[Given]]]:
    """(layer, number of the call, what it is given) for every call of a functional model."""
    for layer in config["layers"]:
        name = layer["name"]
        for number, node in enumerate(layer["inbound_nodes"]):
            given = node["args"][:1]
            if given and isinstance(given[0], Mapping) and "class_name" not in given[0]:
                called = layer_of(model, name)
                if not isinstance(config_of(called)["input_layers"], Mapping):
                    raise ValueError(
                        f"from_keras, layer {name!r}: it is called on a dict and has its inputs in "
                        f"a row; call it on a list"
                    )
            sources: list[Given] = []
            _histories(node, sources)
            yield name, number, sources


def _histories(found: Any, sources: list[Given]) -> None:
    if isinstance(found, Mapping):
        if found.get("class_name") == "__keras_tensor__":
            name, number, place = found["config"]["keras_history"]
            sources.append((name, number, place))
            return
        found = [found[key] for key in sorted(found)]  # as Keras flattens it
    if isinstance(found, (list, tuple)):
        for each in found:
            _histories(each, sources)
    elif isinstance(found, (int, float)) and not isinstance(found, bool):
        sources.append(float(found))


def layer_of(model: Any, name: str) -> Any:
    """The layer of a functional model with a name."""
    for operation in model.operations:
        if operation.name == name:
            return operation
    raise ValueError(f"from_keras: the model has no layer {name!r}")


# --- names ----------------------------------------------------------------------------------------


def names_of(model: Any) -> tuple[list[str], list[str]]:
    """What a model's inputs and outputs are called, none of those that nobody named."""
    if is_a(model, "Sequential"):
        return [], []
    config = config_of(model)
    names_in, names_out = (_called(config[f"{what}_layers"]) for what in ("input", "output"))
    return [] if any(map(_UNNAMED.fullmatch, names_in)) else names_in, names_out


def _called(ends: Any) -> list[str]:
    """The keys of a dict of values, else the layers that they come from."""
    if isinstance(ends, Mapping) and all(len(ends_in(end)) == 1 for end in ends.values()):
        return sorted(ends)
    return [name for name, _, _ in ends_in(ends)]
