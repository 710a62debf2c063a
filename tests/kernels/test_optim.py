"""Optimizer steps against the formulas in float64, on parameters with and without decay."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from kernels import jit, optim
from kernels.workspace import Workspace

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
# Tails, all or no parameters decayed, and enough for threads.
SIZES = [(1, 1), (17, 0), (1000, 700), (140_001, 33_333)]
every_size = pytest.mark.parametrize(("size", "decayed"), SIZES)
DECAY = 0.1


class Problem:
    """Parameters and gradients for some steps, and the same in float64 for the twin."""

    def __init__(self, size: int, decayed: int, dtype: DTypeLike) -> None:
        rng = np.random.default_rng(1)
        self.p = rng.standard_normal(size).astype(dtype)
        self.gradients = rng.standard_normal((4, size)).astype(dtype)
        self.decayed = decayed
        self.twin = self.p.astype(np.float64)
        self.mask = np.arange(size) < decayed

    def zeros(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros_like(self.p), np.zeros_like(self.twin)

    def penalised(self, g: np.ndarray) -> np.ndarray:
        """The gradient with that of the L2 penalty, for the twin."""
        return g + DECAY * self.mask * self.twin

    def check(self) -> None:
        # The gradients are of order 1, and so are the parameters.
        tolerance = 64 * np.finfo(self.p.dtype).eps
        np.testing.assert_allclose(self.p, self.twin, rtol=tolerance, atol=tolerance)


@every_dtype
@every_size
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(size: int, decayed: int, dtype: DTypeLike, momentum: float, nesterov: bool):
    problem = Problem(size, decayed, dtype)
    velocity, v = problem.zeros()
    if momentum == 0:
        velocity = velocity[:0]
    for g in problem.gradients:
        optim.sgd(problem.p, g, velocity, 0.1, momentum, nesterov, DECAY, decayed)
        change = problem.penalised(g)
        v[:] = momentum * v + change
        problem.twin -= 0.1 * (change + momentum * v if nesterov else v)
    problem.check()


@every_dtype
@every_size
@pytest.mark.parametrize("decoupled", [False, True], ids=["adam", "adamw"])
def test_adam(size: int, decayed: int, dtype: DTypeLike, decoupled: bool):
    problem = Problem(size, decayed, dtype)
    (m, twin_m), (v, twin_v) = problem.zeros(), problem.zeros()
    for step, g in enumerate(problem.gradients, start=1):
        optim.adam(
            problem.p, g, m, v, step, 0.01, 0.9, 0.999, 1e-8, DECAY, decayed, decoupled
        )  # fmt: skip
        if decoupled:
            problem.twin *= 1 - 0.01 * DECAY * problem.mask
            change = g.astype(np.float64)
        else:
            change = problem.penalised(g)
        twin_m[:] = 0.9 * twin_m + 0.1 * change
        twin_v[:] = 0.999 * twin_v + 0.001 * change**2
        mean, square = twin_m / (1 - 0.9**step), twin_v / (1 - 0.999**step)
        problem.twin -= 0.01 * mean / (np.sqrt(square) + 1e-8)
    problem.check()


@every_dtype
@every_size
@pytest.mark.parametrize("decoupled", [False, True], ids=["l2", "decoupled"])
def test_radam(size: int, decayed: int, dtype: DTypeLike, decoupled: bool):
    problem = Problem(size, decayed, dtype)
    (m, twin_m), (v, twin_v) = problem.zeros(), problem.zeros()
    beta1, beta2, longest = 0.9, 0.97, 2 / 0.03 - 1
    rectified = 0
    for step, g in enumerate([*problem.gradients, *problem.gradients], start=1):
        optim.radam(
            problem.p, g, m, v, step, 0.01, beta1, beta2, 1e-3, DECAY, decayed, decoupled
        )  # fmt: skip
        if decoupled:
            problem.twin *= 1 - 0.01 * DECAY * problem.mask
            change = g.astype(np.float64)
        else:
            change = problem.penalised(g)
        twin_m[:] = beta1 * twin_m + (1 - beta1) * change
        twin_v[:] = beta2 * twin_v + (1 - beta2) * change**2
        mean, square = twin_m / (1 - beta1**step), twin_v / (1 - beta2**step)
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        if length > 5:
            rectified += 1
            mean *= np.sqrt((length - 4) / (longest - 4) * (length - 2) / (longest - 2))
            mean *= np.sqrt(longest / length)
            mean /= np.sqrt(square) + 1e-3 / np.sqrt(1 - beta2**step)
        problem.twin -= 0.01 * mean
    assert 2 <= rectified <= 4  # both ways were taken
    problem.check()


@every_dtype
@every_size
def test_lookahead(size: int, decayed: int, dtype: DTypeLike):
    problem = Problem(size, decayed, dtype)
    slow, twin_slow = problem.zeros()
    for g in problem.gradients:
        problem.p += g
        problem.twin += g
        optim.lookahead(problem.p, slow, 0.3)
        twin_slow[:] = 0.7 * twin_slow + 0.3 * problem.twin
        problem.twin[:] = twin_slow
        np.testing.assert_array_equal(slow, problem.p)
    problem.check()


def test_lookahead_all_the_way_is_a_copy():
    p = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    before, slow = p.copy(), np.zeros_like(p)
    optim.lookahead(p, slow, 1.0)
    np.testing.assert_array_equal(p, before)
    np.testing.assert_array_equal(slow, before)


@every_dtype
@every_size
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop(size: int, decayed: int, dtype: DTypeLike, momentum: float):
    problem = Problem(size, decayed, dtype)
    (square, twin_square), (buffer, twin_buffer) = problem.zeros(), problem.zeros()
    if momentum == 0:
        buffer = buffer[:0]
    for g in problem.gradients:
        optim.rmsprop(
            problem.p, g, square, 0.01, 0.99, 1e-8, momentum, buffer, DECAY, decayed
        )  # fmt: skip
        change = problem.penalised(g)
        twin_square[:] = 0.99 * twin_square + 0.01 * change**2
        twin_buffer[:] = momentum * twin_buffer + change / (np.sqrt(twin_square) + 1e-8)
        problem.twin -= 0.01 * twin_buffer
    problem.check()


@every_dtype
@every_size
def test_adagrad(size: int, decayed: int, dtype: DTypeLike):
    problem = Problem(size, decayed, dtype)
    square, twin_square = problem.zeros()
    for g in problem.gradients:
        optim.adagrad(problem.p, g, square, 0.1, 1e-10, DECAY, decayed)
        change = problem.penalised(g)
        twin_square += change**2
        problem.twin -= 0.1 * change / (np.sqrt(twin_square) + 1e-10)
    problem.check()


def test_an_adam_step_by_hand():
    # The first step is lr in the direction of the gradient, whatever the gradient's size.
    p, g = np.array([1.0, 1.0, 1.0]), np.array([1e-3, -5.0, 0.0])
    m, v = np.zeros(3), np.zeros(3)
    optim.adam(p, g, m, v, 1, 0.1, 0.9, 0.999, 1e-8, 0.0, 0, False)
    np.testing.assert_allclose(p, [0.9, 1.1, 1.0], rtol=1e-5)
    np.testing.assert_array_equal(g, [1e-3, -5.0, 0.0])


@every_dtype
@pytest.mark.parametrize("size", [0, 1, 17, 1000, 140_001])
def test_squared_norm_and_scaling(size: int, dtype: DTypeLike):
    g = np.random.default_rng(2).standard_normal(size).astype(dtype)
    expected = float(np.sum(g.astype(np.longdouble) ** 2))
    np.testing.assert_allclose(optim.squared_norm(g, Workspace()), expected, rtol=1e-13)
    halved = g / 2
    optim.scale_in_place(g, 0.5)
    np.testing.assert_array_equal(g, halved)


def test_the_norm_of_huge_gradients_does_not_overflow():
    g = np.full(1000, 1e30, np.float32)
    np.testing.assert_allclose(optim.squared_norm(g, Workspace()), 1e63, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int):
    def run() -> tuple[float, np.ndarray]:
        problem = Problem(140_001, 33_333, np.float32)
        p, decayed, (g, *_) = problem.p, problem.decayed, problem.gradients
        # m and v, velocity and buffer, or the slow weights: what each is matters little here.
        a, b = (problem.zeros()[0] for _ in range(2))
        for step, decoupled in ((1, False), (2, True)):
            optim.adam(p, g, a, b, step, 0.01, 0.9, 0.999, 1e-8, DECAY, decayed, decoupled)
            optim.radam(p, g, a, b, step + 7, 0.01, 0.9, 0.999, 1e-8, DECAY, decayed, decoupled)
        optim.rmsprop(p, g, b, 0.01, 0.99, 1e-8, 0.9, a, DECAY, decayed)
        optim.adagrad(p, g, b, 0.1, 1e-10, DECAY, decayed)
        optim.sgd(p, g, a, 0.1, 0.9, True, DECAY, decayed)
        optim.lookahead(p, a, 0.3)
        return optim.squared_norm(g, Workspace()), p

    expected_norm, expected = run()
    before = jit.get_threads()
    jit.set_threads(threads)
    try:
        norm, p = run()
    finally:
        jit.set_threads(before)
    assert norm == expected_norm
    np.testing.assert_array_equal(p, expected)


# --- what is kept falls to 0 ----------------------------------------------------------------------

Step = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], object]
# (p, g, first array that is kept, second one)
STEPS: dict[str, Step] = {
    "sgd": lambda p, g, a, b: optim.sgd(p, g, a, 0.1, 0.9, False, 0.0, 0),
    "nesterov": lambda p, g, a, b: optim.sgd(p, g, a, 0.1, 0.9, True, 0.0, 0),
    "adam": lambda p, g, a, b: optim.adam(p, g, a, b, 9, 0.1, 0.9, 0.99, 1e-8, 0.0, 0, False),
    "radam": lambda p, g, a, b: optim.radam(p, g, a, b, 9, 0.1, 0.9, 0.99, 1e-8, 0.0, 0, False),
    "rmsprop": lambda p, g, a, b: optim.rmsprop(p, g, b, 0.1, 0.99, 1e-8, 0.9, a, 0.0, 0),
    "adagrad": lambda p, g, a, b: optim.adagrad(p, g, b, 0.1, 1e-8, 0.0, 0),
}


@every_dtype
@pytest.mark.parametrize("size", [5, 1001, 140_001])  # tails, and enough for threads
@pytest.mark.parametrize("name", STEPS)
def test_nothing_subnormal_is_kept(name: str, size: int, dtype: DTypeLike):
    """Of gradients that have become 0; infinity and NaN stay."""
    info = np.finfo(dtype)
    p, g = np.ones(size, dtype), np.zeros(size, dtype)
    first, second = (np.resize(np.array([1, -1, 0.5, 0]) * info.tiny, size) for _ in "ab")
    first, second = first.astype(dtype), np.abs(second).astype(dtype)
    first[0] = second[0] = np.nan
    first[1] = second[1] = np.inf
    for _ in range(3):
        STEPS[name](p, g, first, second)
    kept_ones = {"sgd": [first], "nesterov": [first], "adagrad": [second]}
    for kept in kept_ones.get(name, [first, second]):
        assert np.isnan(kept[0])
        if not np.isnan(kept[1]):  # infinity less infinity, or over it
            assert kept[1] == np.inf
        others = np.abs(kept[2:])
        assert ((others == 0) | (others >= info.tiny)).all()
    assert (p[2:] == 1).all()


@every_dtype
def test_small_numbers_are_kept_as_they_are(dtype: DTypeLike):
    """The smallest that are not subnormal, too."""
    smallest = np.finfo(dtype).tiny
    velocity = np.array([2 * smallest, -4 * smallest, 1e-30, -1, 0], dtype)
    expected = velocity / 2
    p, g = np.zeros(5, dtype), np.zeros(5, dtype)
    optim.sgd(p, g, velocity, 1.0, 0.5, False, 0.0, 0)
    np.testing.assert_array_equal(velocity, expected)
    np.testing.assert_array_equal(p, -expected)
