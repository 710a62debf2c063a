"""Choosing the kernels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastcnn import backend, backends, set_backend
from fastcnn.layers import Conv2D
from kernels import compiled, im2col, loop


@pytest.fixture(autouse=True)
def _default_afterwards():
    yield
    set_backend("numba")


def test_default_is_numba() -> None:
    assert backends.names() == ("numba", "im2col", "loop")
    assert backends.current_name() == "numba"
    assert backends.current() is compiled


def test_set_backend_stays() -> None:
    set_backend("im2col")
    assert backends.current() is im2col


def test_backend_ends_with_its_block() -> None:
    with backend("im2col"):
        with backend("loop"):
            assert backends.current() is loop
        assert backends.current() is im2col
    with pytest.raises(KeyError), backend("loop"):
        raise KeyError
    assert backends.current() is compiled


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match="no backend 'nunba'; did you mean 'numba'"):
        set_backend("nunba")
    known = "no backend 'cuda'; known are numba, im2col, loop"
    with pytest.raises(ValueError, match=known), backend("cuda"):
        pass
    assert backends.current_name() == "numba"


def test_all_backends_have_the_same_functions() -> None:
    functions = set(compiled.__all__)
    assert len(functions) == 15
    for module in (im2col, loop):
        assert all(callable(getattr(module, name)) for name in functions)


def test_backward_may_run_on_another_backend() -> None:
    x = np.random.default_rng(0).integers(-3, 4, (2, 3, 5, 5)).astype(np.float32)
    layer = Conv2D(3, 4, 3, padding=1)
    layer.params["weight"] = np.ones((4, 3, 3, 3))
    gradients = []
    for name in backends.names():
        y = layer.forward(x, training=True)
        with backend(name):
            gradients.append(layer.backward(y))
    np.testing.assert_array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[0], gradients[2])


def run_import(*folders: Path) -> str:
    """What `import fastcnn` says when these folders come first on the path."""
    code = f"import sys; sys.path[:0] = {[str(f) for f in folders]!r}; import fastcnn"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment).stderr


def test_foreign_kernels_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    root = Path(backends.__file__).parents[1]
    message = run_import(tmp_path, root).splitlines()[-1]
    assert message.startswith("ImportError: fastcnn found a package `kernels` that is not its own")
    assert str(tmp_path) in message
