"""No kernel computes with memory that nobody wrote.

What happens to lie there may be denormal numbers: Intel's processors multiply them 100 times as
slowly as others, so results are right and the step takes twice as long, with luck. The processor
notes when it met one, and here all new memory is full of them.
"""

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fastcnn import models, optim
from fastcnn.losses import CrossEntropyLoss
from kernels import jit, workspace
from kernels.workspace import Workspace
from tests.cases import ODD_DENSES, ConvCase, DenseCase, backend_module, random_convs
from tests.layers.geometry import MAKERS
from tests.layers.test_geometry import cases

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the notes are read as Linux keeps them for x86-64",
)

DENORMAL = 0x00400000  # as a float32
_NOTED = 1 << 1  # in MXCSR: an operand was denormal


class Notes:
    """What the processor has noted about this thread's arithmetic."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libm.so.6")
        self._environment = (ctypes.c_uint32 * 8)()  # of the C library; the last is MXCSR

    def clear(self) -> None:
        self._library.fegetenv(self._environment)
        self._environment[7] &= ~_NOTED
        self._library.fesetenv(self._environment)

    def met_denormals(self) -> bool:
        self._library.fegetenv(self._environment)
        return bool(self._environment[7] & _NOTED)


@pytest.fixture
def notes(monkeypatch) -> Iterator[Notes]:
    def allocate(size: int, dtype: type) -> np.ndarray:
        memory = np.empty(size + 4, dtype)
        start = -memory.__array_interface__["data"][0] % 4
        memory[start : start + size // 4 * 4].view(np.uint32).fill(DENORMAL)
        return memory[:size]

    monkeypatch.setattr(workspace, "allocate", allocate)
    threads = jit.get_threads()
    jit.set_threads(1)  # whose notes are read
    yield Notes()
    jit.set_threads(threads)


def meets_denormals(notes: Notes, prepare: Callable[[], Callable[[], object]]) -> bool:
    """Whether what is prepared does; all done once before, as compiling leaves notes too."""
    prepare()()
    compute = prepare()
    notes.clear()
    compute()
    return notes.met_denormals()


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)).astype(np.float32)


def test_the_notes_are_read(notes):
    memory = workspace.Workspace().array("x", (64,))
    notes.clear()
    assert not notes.met_denormals()
    assert (memory + np.float32(1) == 1).all()
    assert notes.met_denormals()


def all_directions(kind: str, case: ConvCase | DenseCase, *window: object) -> Callable[[], None]:
    """Forward and both gradients of a layer."""
    rng, kernels = np.random.default_rng(0), backend_module("numba")
    forward, backward_input, backward_weight = (
        getattr(kernels, f"{kind}_{name}")
        for name in ("forward", "backward_input", "backward_weight")
    )
    x, weight = numbers(rng, case.x_shape), numbers(rng, case.weight_shape)
    dy, bias = numbers(rng, case.y_shape), numbers(rng, case.bias_shape)
    y, dx, dweight, dbias = (np.zeros(a.shape, np.float32) for a in (dy, x, weight, bias))

    def compute() -> None:
        forward(x, weight, bias, *window, y, Workspace())
        backward_input(dy, weight, *window, dx, Workspace())
        backward_weight(x, dy, *window, dweight, dbias, Workspace())

    return compute


@pytest.mark.parametrize("seed", range(4))
def test_convolutions(seed, notes):
    for case in random_convs(40, seed):
        compute = all_directions("conv", case, case.stride, case.padding)
        assert not meets_denormals(notes, lambda compute=compute: compute), str(case)


@pytest.mark.parametrize("case", ODD_DENSES, ids=str)
def test_dense_layers(case, notes):
    compute = all_directions("dense", case)
    assert not meets_denormals(notes, lambda: compute)


@pytest.mark.parametrize("kind", MAKERS)
def test_layers(kind, notes):
    """Of odd shapes, dilated, grouped, transposed."""
    for number in range(20):

        def prepare(number: int = number) -> Callable[[], object]:
            case, rng = list(cases(kind, number + 1))[-1]
            layer, x = case.layer, numbers(rng, case.shape)
            for name in layer.params:
                layer.params[name] = numbers(rng, layer.params[name].shape)
            dy = numbers(rng, layer.output_shape(x.shape))
            return lambda: (layer.forward(x, training=True), layer.backward(dy))

        assert not meets_denormals(notes, prepare), f"case {number}"


@pytest.mark.parametrize("name", models.names())
def test_a_step_of_a_model(name, notes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 5)

    def prepare() -> Callable[[], object]:
        model, loss, optimizer = models.build(name), CrossEntropyLoss(), optim.SGD(0.01)
        assert model.input_shape
        x = rng.random((5, *model.input_shape), np.float32) + 1

        def compute() -> None:
            loss.forward(model.forward_training(x), y)
            model.backward_training(loss.backward())
            optimizer.step(model)

        return compute

    assert not meets_denormals(notes, prepare)
