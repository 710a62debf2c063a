"""A module's `forward`, followed by torch.fx, as calls of our layers on symbols.

Each node is run as soon as it is met, so that the sizes of a tensor are numbers, which loops and
conditions may use.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...graph import by_names
from ...layers import Flatten, Input, Layer, Reshape
from ...layers.symbols import Symbol
from .functions import VIEWS, Follower, Make, name_of
from .places import batch_of
from .watched import Mode, watched

Run = Callable[[Any], Any]


class _RefusedError(Exception):
    """A sentence about a node: torch.fx's own are about what it cannot follow."""


def symbols_of(
    torch: Any, module: Any, shapes: Sequence[tuple[int, ...]], make: Make
) -> tuple[Any, Any, dict[int, tuple[Layer, Any]]]:
    """What a module does with symbols.

    Parameters
    ----------
    shapes : sequence of shape
        Of a sample, for each input.
    make : function
        Module of PyTorch -> layer.

    Returns
    -------
    inputs, output
        Symbols: one, a sequence, or a dict by names. Several inputs are called as `forward` calls
        its arguments, outputs as the keys of the dict that it gives.
    made : dict
        Identity of a module -> the layer made of it, and the module.

    Raises
    ------
    ValueError
        If torch.fx cannot follow the module, or something in it has no counterpart; names it.
    """
    passed = _Pass(torch, module, shapes, make)
    try:
        with watched(torch, module):
            _tracer(torch, passed.run, passed.value).trace(module)
        passed.check_inputs()
    except _RefusedError as error:
        raise ValueError(f"from_torch{error}") from None
    except Exception as error:
        raise ValueError(
            f"from_torch: torch.fx cannot follow {type(module).__name__}: {error}"
        ) from None
    passed.follower.check_shared()
    inputs = passed.inputs
    named_in = by_names("input", passed.names, inputs) if len(inputs) > 1 else inputs
    return named_in, _outputs(module, passed.output), passed.follower.made


class _Pass:
    """A module's nodes, run one after the other.

    Attributes
    ----------
    inputs : list of Input
    names : list of str
        What `forward` calls its arguments.
    output
        What it gives.
    """

    def __init__(
        self, torch: Any, module: Any, shapes: Sequence[tuple[int, ...]], make: Make
    ) -> None:
        self._torch, self._module = torch, module
        self.follower = Follower(torch, module, make)
        self.inputs = [Input(shape) for shape in shapes]
        self.names: list[str] = []
        self.output: Any = None
        self._memory = _Memory()

    def value(self, node: Any) -> Any:
        """What a node is now."""
        return self._memory.read(node.name)

    def check_inputs(self) -> None:
        """Refuse another number of shapes than `forward` has arguments."""
        if len(self.names) != len(self.inputs):
            raise _RefusedError(
                f": {type(self._module).__name__} takes {len(self.names)} inputs "
                f"({', '.join(self.names)}), so input_shape must be as many shapes, got "
                f"{len(self.inputs)}"
            )

    def run(self, node: Any) -> None:
        """Run a node."""
        if node.op == "placeholder":
            if len(self.names) < len(self.inputs):
                self._memory.write(node.name, self.inputs[len(self.names)])
            self.names.append(node.target)
            return
        self.check_inputs()
        arguments, options = self._torch.fx.node.map_arg((node.args, node.kwargs), self.value)
        if node.op == "output":
            self.output = arguments[0]
            return
        try:
            value = self.follower.run(node.op, node.target, arguments, options)
            first = next(iter(node.all_input_nodes), None)
            name = name_of(self._torch, node.op, node.target)
            is_in_place = self.follower.is_in_place(node.op, node.target, arguments, options)
            given = first.name if first and name != "clone" else None
            is_same = node.op == "call_module" and value is arguments[0]  # nn.Identity
            self._memory.write(node.name, value, given, is_in_place, name in VIEWS, is_same)
        except (TypeError, ValueError, LookupError) as error:
            raise _RefusedError(f", {_place(self._torch, node)}: {error}") from None


def _tracer(torch: Any, run: Run, value: Run) -> Any:
    """What records a module's nodes; `run` is given each, `value` says what one is."""

    class Tensor(torch.fx.Proxy):
        """What stands for a tensor while `forward` runs: its sizes are known but for the batch."""

        def size(self, dim: int | None = None) -> Any:
            known = value(self.node)
            if not isinstance(known, Symbol):
                raise TypeError(f"{self.node.name} is no tensor with a size")
            if self.tracer.batch is None:  # one for all, so that shapes can be compared
                self.tracer.batch = self.tracer.create_proxy("call_function", batch_of, (self,), {})
            sizes = (self.tracer.batch, *known.seen)
            return sizes if dim is None else sizes[dim]

        # torch.fx itself takes `x *= 2` for x = x * 2, which leaves other names of x as they are.
        __isub__, __imul__, __itruediv__, __ipow__, __iadd__ = (
            _written(function)
            for function in (
                operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.iadd,
            )
        )  # fmt: skip

        @property
        def shape(self) -> Any:
            return self.size()

        @property
        def ndim(self) -> int:
            return len(self.size())

        dim = ndimension = lambda self: self.ndim

        def __len__(self) -> int:
            known = value(self.node)
            if not isinstance(known, (tuple, list)):
                raise TypeError(f"the length of {self.node.name} is the batch's size, unknown here")
            return len(known)

    class Tracer(torch.fx.Tracer):
        running = False
        batch: Any = None
        learns = torch.is_grad_enabled()

        def create_node(self, *given: Any, **more: Any) -> Any:
            node = super().create_node(*given, **more)
            if torch.is_grad_enabled() != self.learns:
                raise _RefusedError(
                    f", {_place(torch, node)}: it is computed without gradients, as under "
                    f"torch.no_grad, which has no counterpart; freeze layers by requires_grad"
                )
            self.running = True
            run(node)
            self.running = False
            return node

        def getattr(self, name: str, found: Any, *cache: Any) -> Any:
            # While a node runs, a module's parameters are themselves, no further nodes.
            return found if self.running else super().getattr(name, found, *cache)

        def create_arg(self, given: Any) -> Any:
            return given if isinstance(given, Mode) else super().create_arg(given)

        def proxy(self, node: Any) -> Any:
            return Tensor(node, self)

        def iter(self, obj: Any) -> Any:
            return (obj[i] for i in range(len(obj)))

    return Tracer()


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that writes into its first tensor, as a method of what is traced."""

    def method(self: Any, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


class _Memory:
    """What each node gave, and which nodes are one tensor, which an in-place function changes.

    Attributes
    ----------
    owners : dict
        By node: the first one whose numbers it may share.

    Of what may share its numbers with a tensor that is changed in place, only what surely is that
    tensor is changed too: a view has them elsewhere, and `contiguous` may have made a copy.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self.owners: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._lost: set[str] = set()

    def read(self, name: str) -> Any:
        """What a node is now."""
        if name in self._lost:
            raise _RefusedError(
                f": {name} is used after a view of it was changed in place, or what may be one, "
                f"which has no counterpart; leave inplace=True, += or *= out"
            )
        return self._values[name]

    def write(
        self,
        name: str,
        value: Any,
        first: str | None = None,
        is_in_place: bool = False,
        is_view: bool = False,
        is_same: bool = False,
    ) -> None:
        """Keep what a node gave, of its first tensor, if it may share its numbers."""
        before = None if first is None else self._values[first]
        if isinstance(value, Symbol) and isinstance(before, Symbol):
            is_view |= is_in_place or value is before or _is_view_of(value, before)
        owner = self.owners[first] if first is not None and is_view else name
        tensor = self._same[first] if first is not None and (is_in_place or is_same) else name
        if is_in_place and is_view:
            for other in [each for each, whose in self.owners.items() if whose == owner]:
                if self._same[other] == tensor:
                    self._values[other] = value
                else:
                    self._lost.add(other)
        self._values[name], self.owners[name], self._same[name] = value, owner, tensor


def _is_view_of(value: Symbol, before: Symbol) -> bool:
    while isinstance(value.layer, (Flatten, Reshape)):
        value = value.sources[0]
        if value is before:
            return True
    return False


def _outputs(module: Any, found: Any) -> Any:
    is_dict = isinstance(found, Mapping)
    several = list(found.values()) if is_dict else found
    several = several if isinstance(several, (tuple, list)) else [several]
    if not several or not all(isinstance(each, Symbol) for each in several):
        raise ValueError(
            f"from_torch: {type(module).__name__} must give a tensor, or several in a row or a "
            f"dict, got {type(found).__name__}"
        )
    return by_names("output", list(found), several) if is_dict else found


def _place(torch: Any, node: Any) -> str:
    """A node as people know it: the module's name, or the function's."""
    if node.op == "call_module":
        return f"module {node.target}"
    if node.op == "get_attr":
        return f"tensor {node.target}"
    return f"{name_of(torch, node.op, node.target)} ({node.name})"
