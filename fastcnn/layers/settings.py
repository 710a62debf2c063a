"""What is set of a layer after it was made: its settings, and what is none."""

from typing import TYPE_CHECKING, Any

from .. import foreign
from .arrays import Shape
from .initialization import Initialization

if TYPE_CHECKING:
    from .base import Layer


def checked(layer: "Layer", name: str, value: Any) -> Any:
    """What a layer of this package keeps of a public attribute that is set.

    Raises
    ------
    AttributeError
        If it is no setting, or one that cannot be changed; says how it is done.
    ValueError, TypeError
        If the constructor refuses it.
    """
    shapes = _shapes(layer)
    group = next((group for group, arrays in shapes.items() if name in arrays), None)
    if group is not None and not isinstance(value, bool):  # whether there is a bias is a setting
        raise AttributeError(
            f"{layer.name}: {name} is written with layer.{group}[{name!r}] = ..., which copies "
            f"the values into the array"
        )
    if name in ("params", "grads", "state"):
        raise AttributeError(
            f"{layer.name}: {name} stay the same arrays: write into one with "
            f"layer.{name}[name] = ..., or into several with layer.{name}.update(...)"
        )
    if name == "dtype":
        raise AttributeError(f"{layer.name}: its dtype is changed with layer.astype(np.float32)")
    if layer.wiring is not None and name in layer.arguments():
        raise AttributeError(f"{layer.name}: the layers inside it stay the same: make a new one")
    if isinstance(value, Initialization):
        return value
    value = foreign.checked_setting(layer, name, value)
    has_arrays = vars(layer).get("_arrays") is not None
    if has_arrays and (name == "init" or _shapes(layer, **{name: value}) != shapes):
        raise AttributeError(
            f"{layer.name}: {name} decides about its parameters, which are there already: make a "
            f"new layer"
        )
    return value


def _shapes(layer: "Layer", **settings: Any) -> dict[str, dict[str, Shape]]:
    """Those of its arrays, if it had these settings; none while its constructor is at work."""
    own = vars(layer)
    before = dict(own)
    own.update(settings)
    try:
        return {"params": layer.parameter_shapes(), "state": layer.state_shapes()}
    except AttributeError:
        return {}
    finally:
        for name in settings:
            own.pop(name)
        own.update({name: before[name] for name in settings if name in before})
