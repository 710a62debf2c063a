"""Random layers against PyTorch's on whole numbers: no difference where arithmetic is exact.

`python -m tests.layers.test_geometry 1000` runs so many cases of each layer, with every backend
that has kernels of its own for it; names after the number choose layers. Here run a few of each.
"""

import sys
import zlib

import numpy as np
import pytest

from fastcnn import backend
from tests.layers.geometry import MAKERS, Case

BACKENDS = ("loop", "im2col", "numba")
SAMPLE = 6  # cases of a layer in the suite


def cases(kind: str, count: int):
    for number in range(count):
        rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
        yield MAKERS[kind](lambda low, high, rng=rng: int(rng.integers(low, high + 1))), rng


def whole(rng: np.random.Generator, shape: tuple[int, ...], step: int = 1) -> np.ndarray:
    return step * rng.integers(-4, 5, shape).astype(np.float32)


def check(torch, case: Case, rng: np.random.Generator) -> int:
    """Compare y and all gradients; how many comparisons there were."""
    layer, x = case.layer, whole(rng, case.shape, case.x_step)
    for name in layer.params:
        layer.params[name] = whole(rng, layer.params[name].shape)
    params = {
        name: torch.tensor(np.array(value), requires_grad=True)
        for name, value in layer.params.items()
    }
    x_twin = torch.tensor(x, requires_grad=True)
    y_twin = case.twin(torch, x_twin, params)
    dy = whole(rng, tuple(y_twin.shape), case.step)
    y_twin.backward(torch.tensor(dy))
    theirs = {"y": y_twin.detach().numpy(), "dx": x_twin.grad.numpy()}
    theirs |= {name: value.grad.numpy() for name, value in params.items()}
    assert layer.output_shape(x.shape) == y_twin.shape, f"{layer!r} {x.shape}"
    names = BACKENDS if case.kernels else BACKENDS[-1:]
    for name in names:
        with backend(name):
            y = layer.forward(x, training=True)
            ours = {"y": y, "dx": layer.backward(dy), **layer.grads}
            again = layer.forward(x)
        np.testing.assert_array_equal(again, y, err_msg=f"{layer!r} {x.shape} without training")
        for what, value in ours.items():
            atol = 0 if case.exact else 1e-5 * max(1, abs(theirs[what]).max())
            np.testing.assert_allclose(
                value, theirs[what], rtol=0, atol=atol, err_msg=f"{layer!r} {x.shape} {what} {name}"
            )
    return len(names)


@pytest.mark.parametrize("kind", MAKERS)
def test_random_cases(kind: str) -> None:
    torch = pytest.importorskip("torch")
    for case, rng in cases(kind, SAMPLE):
        check(torch, case, rng)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    count, chosen = int(sys.argv[1]), sys.argv[2:] or list(MAKERS)
    for kind in chosen:
        exact = sum(
            case.exact for case, rng in cases(kind, count) if check(torch, case, rng) is not None
        )
        print(f"{kind:24} {count} cases, {exact} of them with no difference, the rest within 1e-5")


if __name__ == "__main__":
    main()
