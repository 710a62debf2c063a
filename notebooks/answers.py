"""The answers to the notebooks' exercises. Reading on spoils them: `answer("name")` shows one.

Each is tried with what `given` makes; `mistakes` says what a wrong answer probably forgot.
"""

import numpy as np
from exercise import exercise


def _probabilities(random, rows=4, classes=3):
    scores = np.exp(random.normal(size=(rows, classes)))
    return scores / scores.sum(axis=1, keepdims=True)


# --- 1: a network by hand -------------------------------------------------------------------------


@exercise(
    given=lambda random: (_probabilities(random), random.integers(0, 3, 4)),
    hint="The gradient by the scores is p, less 1 where the true class is; the loss is a mean.",
    mistakes={
        "the loss is the mean over the rows, so its gradient is divided by their number": (
            lambda p, labels: p - np.eye(p.shape[1])[labels]
        ),
        "it points the other way: downhill, where the gradient points uphill": (
            lambda p, labels: (np.eye(p.shape[1])[labels] - p) / len(p)
        ),
    },
)
def cross_entropy_gradient(p, labels):
    d = p.copy()
    d[np.arange(len(p)), labels] -= 1
    return d / len(p)


@exercise(
    given=lambda random: (tuple(int(n) for n in random.integers(2, 50, 4)),),
    hint="Between a layer of m numbers and one of n there are m * n weights, and n biases.",
    mistakes={
        "the biases are missing": lambda sizes: sum(
            sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1)
        )
    },
)
def count_parameters(sizes):
    return sum((sizes[i] + 1) * sizes[i + 1] for i in range(len(sizes) - 1))


# --- 2: convolution -------------------------------------------------------------------------------


@exercise(
    given=lambda random: (
        int(random.integers(8, 40)),
        int(random.integers(1, 6)),
        int(random.integers(1, 4)),
        int(random.integers(0, 3)),
    ),
    hint="How far can the window's first row move? size + 2 * padding - kernel rows, in strides.",
    mistakes={
        "the padding stands on both sides": (
            lambda size, kernel, stride, padding: (size + padding - kernel) // stride + 1
        ),
        "one place more: the window also stands where it starts": (
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride
        ),
    },
)
def output_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


@exercise(
    given=lambda random: (int(random.integers(1, 15)), int(random.integers(1, 4))),
    hint="Each step loads one number for each row and one vector for each column of the tile.",
    mistakes={
        "that is the number of multiply-adds; by how many loads are they fed?": (
            lambda rows, vectors: rows * vectors
        )
    },
)
def products_per_load(rows, vectors):
    return rows * vectors / (rows + vectors)


# --- 3: backpropagation ---------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(3, 4)), random.normal(size=(3, 4))),
    hint="Where x is positive y = x, so the slope is 1; elsewhere y does not change with x.",
    mistakes={
        "that is max(dy, 0): the sign that counts is that of x": lambda x, dy: np.maximum(dy, 0),
        "that is y times dy: the slope is 1, not x": lambda x, dy: np.maximum(x, 0) * dy,
    },
)
def relu_gradient(x, dy):
    return dy * (x > 0)


@exercise(
    given=lambda random: tuple(random.normal(size=s) for s in ((5, 3), (3, 2), (5, 2))),
    hint="Look at the shapes: dx is (5, 3), dweight (3, 2), dbias (2,). Which products fit?",
    mistakes={
        "dbias is the sum over the batch, not the mean": lambda x, weight, dy: (
            dy @ weight.T, x.T @ dy, dy.mean(axis=0),
        )
    },
)  # fmt: skip
def dense_gradients(x, weight, dy):
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


@exercise(
    given=lambda random: (random.normal(size=6), random.normal(size=3)),
    hint="y[p] = sum over k of w[k] * x[p + k]. So x[p + k] gets w[k] * dy[p] back, from every p.",
    mistakes={
        "the filter is turned round": lambda dy, w: np.convolve(dy, w[::-1]),
        "the ends are missing: x is longer than y": lambda dy, w: np.convolve(dy, w, "valid"),
    },
)
def conv_input_gradient(dy, w):
    dx = np.zeros(len(dy) + len(w) - 1)
    for p in range(len(dy)):
        for k in range(len(w)):
            dx[p + k] += w[k] * dy[p]
    return dx


# --- 4: ablation ----------------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(97, 0.3, 6), random.normal(97.4, 0.3, 6)),
    hint="One difference for each seed; their standard deviation (ddof=1) over the root of n.",
    mistakes={
        "with ddof=1: the mean itself was estimated from the same numbers": (
            lambda before, after: (
                np.mean(after - before), np.std(after - before) / np.sqrt(len(after)),
            )
        ),
        "that is how far single runs are apart, not how well their mean is known": (
            lambda before, after: (np.mean(after - before), np.std(after - before, ddof=1))
        ),
    },
)  # fmt: skip
def paired_difference(before, after):
    differences = after - before
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))


@exercise(
    given=lambda random: (random.normal(size=7), 0.1, 0.2, random.normal(size=7)),
    hint="L2 adds weight_decay * w to the gradient; the step is downhill.",
    mistakes={
        "the penalty is missing": lambda w, lr, weight_decay, gradient: w - lr * gradient,
        "the penalty pulls towards 0, this pushes away": (
            lambda w, lr, weight_decay, gradient: w - lr * (gradient - weight_decay * w)
        ),
    },
)
def step_with_l2(w, lr, weight_decay, gradient):
    return w - lr * (gradient + weight_decay * w)


# --- 5: LeNet-5 -----------------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(2, 3, 4, 6)),),
    hint="Reshape to (N, C, H / 2, 2, W / 2, 2): the windows then have two axes of their own.",
    mistakes={
        "that is the largest number of each window, not the mean": (
            lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, 2, -1, 2).max(axis=(3, 5))
        ),
        "that is the sum of each window, not the mean": (
            lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, 2, -1, 2).sum(axis=(3, 5))
        ),
    },
)
def average_pool(x):
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


@exercise(
    given=lambda random: (random.uniform(size=(3, 4)), random.normal(size=(3, 4))),
    hint="With y = 1 / (1 + exp(-x)) the slope is y * (1 - y): no exponential is needed again.",
    mistakes={
        "that takes the sigmoid again: y is already its result": (
            lambda y, dy: dy / (1 + np.exp(-y)) * (1 - 1 / (1 + np.exp(-y)))
        )
    },
)
def sigmoid_gradient(y, dy):
    return dy * y * (1 - y)


# --- 6: a search ----------------------------------------------------------------------------------


@exercise(
    given=lambda random: (
        [float(n) for n in random.uniform(size=2)],
        [float(n) for n in random.uniform(size=3)],
    ),
    hint="Two loops: for every rate, every penalty.",
    mistakes={
        "that pairs them: a grid has every rate with every penalty": (
            lambda rates, penalties: list(zip(rates, penalties, strict=False))
        )
    },
)
def grid(rates, penalties):
    return [(rate, penalty) for rate in rates for penalty in penalties]


@exercise(
    given=lambda random: (float(random.uniform(0.01, 0.3)), int(random.integers(1, 60))),
    hint="First the chance that none of n random trials falls among the best share.",
    mistakes={
        "that is the chance that none does": lambda share, trials: (1 - share) ** trials,
        "chances of several trials do not add up: two may both be among the best": (
            lambda share, trials: share * trials
        ),
    },
)
def chance_of_a_good_trial(share, trials):
    return 1 - (1 - share) ** trials


# --- 7: what a network saw ------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(3, 5, 6)),),
    hint="A pixel matters if any of its colours does, in whichever direction.",
    mistakes={
        "a negative slope matters as much as a positive one": lambda dx: dx.max(axis=0),
        "colours of opposite signs cancel in a sum": lambda dx: np.abs(dx.sum(axis=0)),
    },
)
def saliency(dx):
    return np.abs(dx).max(axis=0)


@exercise(
    given=lambda random: (random.normal(size=(4, 3, 5)), random.normal(size=(4, 3, 5))),
    hint="Each map counts as much as the mean of its gradient; then max(sum, 0).",
    mistakes={
        "what speaks against the class is left out: max(..., 0) is missing": (
            lambda maps, gradients: (gradients.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0)
        ),
        "each map has one number that it counts with: the mean over its gradient": (
            lambda maps, gradients: np.maximum((gradients * maps).sum(axis=0), 0)
        ),
    },
)
def grad_cam(maps, gradients):
    weights = gradients.mean(axis=(1, 2))
    return np.maximum((weights[:, None, None] * maps).sum(axis=0), 0)


# --- 8: the roofline ------------------------------------------------------------------------------


@exercise(
    given=lambda random: tuple(int(n) for n in random.integers(1, 600, 3)),
    hint="2 * batch * m * n operations; count the numbers of x, weight, bias and y, 4 bytes each.",
    mistakes={
        "a multiplication and an addition are two operations": lambda batch, m, n: (
            batch * m * n / (4 * (batch * m + m * n + n + batch * n))
        ),
        "a float32 has four bytes": lambda batch, m, n: (
            2 * batch * m * n / (batch * m + m * n + n + batch * n)
        ),
    },
)
def dense_intensity(batch, m, n):
    operations = 2 * batch * m * n
    return operations / (4 * (batch * m + m * n + n + batch * n))


@exercise(
    given=lambda random: (
        float(random.uniform(20, 200)),
        float(random.uniform(5, 50)),
        float(random.uniform(0.1, 40)),
    ),
    hint="Two roofs: the processor's, and what the memory can feed. The lower one counts.",
    mistakes={
        "that is the memory's roof alone": lambda peak, bandwidth, intensity: bandwidth * intensity,
        "that is the higher roof": lambda peak, bandwidth, intensity: max(
            peak, bandwidth * intensity
        ),
    },
)
def roof(peak, bandwidth, intensity):
    return min(peak, bandwidth * intensity)
