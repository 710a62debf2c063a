"""The answers to the notebooks' exercises. Reading on spoils them: `answer("name")` shows one.

Each is tried with what `given` makes; `mistakes` says what a wrong answer probably forgot.
"""

import numpy as np
from exercise import exercise

from fastcnn.languages import Said


def _probabilities(random, rows=4, classes=3):
    scores = np.exp(random.normal(size=(rows, classes)))
    return scores / scores.sum(axis=1, keepdims=True)


# --- 1: a network by hand -------------------------------------------------------------------------


@exercise(
    given=lambda random: (_probabilities(random), random.integers(0, 3, 4)),
    hint=Said(
        "The gradient by the scores is p, less 1 where the true class is; the loss is a mean.",
        "对得分的梯度是 p，在真实类别处减 1；损失是平均值。",
    ),
    mistakes={
        Said(
            "the loss is the mean over the rows, so its gradient is divided by their number",
            "损失是各行的平均值，所以梯度要除以行数",
        ): (lambda p, labels: p - np.eye(p.shape[1])[labels]),
        Said(
            "it points the other way: downhill, where the gradient points uphill",
            "方向反了：梯度指向上升的方向，这是下降的方向",
        ): (lambda p, labels: (np.eye(p.shape[1])[labels] - p) / len(p)),
    },
)
def cross_entropy_gradient(p, labels):
    d = p.copy()
    d[np.arange(len(p)), labels] -= 1
    return d / len(p)


@exercise(
    given=lambda random: (tuple(int(n) for n in random.integers(2, 50, 4)),),
    hint=Said(
        "Between a layer of m numbers and one of n there are m * n weights, and n biases.",
        "m 个数的层与 n 个数的层之间有 m * n 个权重和 n 个偏置。",
    ),
    mistakes={
        Said(
            "the biases are missing",
            "漏了偏置",
        ): lambda sizes: sum(sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1))
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
    hint=Said(
        "How far can the window's first row move? size + 2 * padding - kernel rows, in strides.",
        "窗口的第一行能移动多远？size + 2 * padding - kernel 行，每次一个步幅。",
    ),
    mistakes={
        Said(
            "the padding stands on both sides",
            "填充在两边都有",
        ): (lambda size, kernel, stride, padding: (size + padding - kernel) // stride + 1),
        Said(
            "one place more: the window also stands where it starts",
            "少了一个位置：窗口在起点也算一次",
        ): (lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride),
    },
)
def output_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


@exercise(
    given=lambda random: (int(random.integers(1, 15)), int(random.integers(1, 4))),
    hint=Said(
        "Each step loads one number for each row and one vector for each column of the tile.",
        "每一步为分块的每一行装入一个数，为每一列装入一个向量。",
    ),
    mistakes={
        Said(
            "that is the number of multiply-adds; by how many loads are they fed?",
            "这是乘加的次数；它们要装入多少次？",
        ): (lambda rows, vectors: rows * vectors)
    },
)
def products_per_load(rows, vectors):
    return rows * vectors / (rows + vectors)


# --- 3: backpropagation ---------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(3, 4)), random.normal(size=(3, 4))),
    hint=Said(
        "Where x is positive y = x, so the slope is 1; elsewhere y does not change with x.",
        "x 为正处 y = x，斜率是 1；别处 y 不随 x 变化。",
    ),
    mistakes={
        Said(
            "that is max(dy, 0): the sign that counts is that of x",
            "这是 max(dy, 0)：要看的是 x 的正负",
        ): lambda x, dy: np.maximum(dy, 0),
        Said(
            "that is y times dy: the slope is 1, not x",
            "这是 y 乘 dy：斜率是 1，不是 x",
        ): lambda x, dy: np.maximum(x, 0) * dy,
    },
)
def relu_gradient(x, dy):
    return dy * (x > 0)


@exercise(
    given=lambda random: tuple(random.normal(size=s) for s in ((5, 3), (3, 2), (5, 2))),
    hint=Said(
        "Look at the shapes: dx is (5, 3), dweight (3, 2), dbias (2,). Which products fit?",
        "看形状：dx 是 (5, 3)，dweight 是 (3, 2)，dbias 是 (2,)。哪些乘积对得上？",
    ),
    mistakes={
        Said(
            "dbias is the sum over the batch, not the mean",
            "dbias 是对批求和，不是平均",
        ): lambda x, weight, dy: (
            dy @ weight.T, x.T @ dy, dy.mean(axis=0),
        )
    },
)  # fmt: skip
def dense_gradients(x, weight, dy):
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


@exercise(
    given=lambda random: (random.normal(size=6), random.normal(size=3)),
    hint=Said(
        "y[p] = sum over k of w[k] * x[p + k]. So x[p + k] gets w[k] * dy[p] back, from every p.",
        "y[p] 是 w[k] * x[p + k] 对 k 求和，所以每个 p 都给 x[p + k] 传回 w[k] * dy[p]。",
    ),
    mistakes={
        Said(
            "the filter is turned round",
            "卷积核转了 180 度",
        ): lambda dy, w: np.convolve(dy, w[::-1]),
        Said(
            "the ends are missing: x is longer than y",
            "少了两端：x 比 y 长",
        ): lambda dy, w: np.convolve(dy, w, "valid"),
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
    hint=Said(
        "One difference for each seed; their standard deviation (ddof=1) over the root of n.",
        "每个种子一个差；它们的标准差（ddof=1）除以 n 的平方根。",
    ),
    mistakes={
        Said(
            "with ddof=1: the mean itself was estimated from the same numbers",
            "要用 ddof=1：平均值也是由同样的数估计的",
        ): (
            lambda before, after: (
                np.mean(after - before), np.std(after - before) / np.sqrt(len(after)),
            )
        ),
        Said(
            "that is how far single runs are apart, not how well their mean is known",
            "这是各次运行相差多少，不是它们的平均值有多准",
        ): (
            lambda before, after: (np.mean(after - before), np.std(after - before, ddof=1))
        ),
    },
)  # fmt: skip
def paired_difference(before, after):
    differences = after - before
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))


@exercise(
    given=lambda random: (random.normal(size=7), 0.1, 0.2, random.normal(size=7)),
    hint=Said(
        "L2 adds weight_decay * w to the gradient; the step is downhill.",
        "L2 给梯度加上 weight_decay * w；走的是下降的方向。",
    ),
    mistakes={
        Said(
            "the penalty is missing",
            "漏了惩罚",
        ): lambda w, lr, weight_decay, gradient: w - lr * gradient,
        Said(
            "the penalty pulls towards 0, this pushes away",
            "惩罚把权重拉向 0，这却把它推开",
        ): (lambda w, lr, weight_decay, gradient: w - lr * (gradient - weight_decay * w)),
    },
)
def step_with_l2(w, lr, weight_decay, gradient):
    return w - lr * (gradient + weight_decay * w)


# --- 5: LeNet-5 -----------------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(2, 3, 4, 6)),),
    hint=Said(
        "Reshape to (N, C, H / 2, 2, W / 2, 2): the windows then have two axes of their own.",
        "变形为 (N, C, H / 2, 2, W / 2, 2)：窗口就有了自己的两个轴。",
    ),
    mistakes={
        Said(
            "that is the largest number of each window, not the mean",
            "这是每个窗口的最大值，不是平均值",
        ): (lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, 2, -1, 2).max(axis=(3, 5))),
        Said(
            "that is the sum of each window, not the mean",
            "这是每个窗口的和，不是平均值",
        ): (lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, 2, -1, 2).sum(axis=(3, 5))),
    },
)
def average_pool(x):
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


@exercise(
    given=lambda random: (random.uniform(size=(3, 4)), random.normal(size=(3, 4))),
    hint=Said(
        "With y = 1 / (1 + exp(-x)) the slope is y * (1 - y): no exponential is needed again.",
        "y = 1 / (1 + exp(-x)) 的斜率是 y * (1 - y)，不必再算指数。",
    ),
    mistakes={
        Said(
            "that takes the sigmoid again: y is already its result",
            "又算了一次 sigmoid：y 已经是它的结果",
        ): (lambda y, dy: dy / (1 + np.exp(-y)) * (1 - 1 / (1 + np.exp(-y))))
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
    hint=Said(
        "Two loops: for every rate, every penalty.",
        "两重循环：对每个学习率，取每个惩罚。",
    ),
    mistakes={
        Said(
            "that pairs them: a grid has every rate with every penalty",
            "这是一一配对：网格里每个学习率配每个惩罚",
        ): (lambda rates, penalties: list(zip(rates, penalties, strict=False)))
    },
)
def grid(rates, penalties):
    return [(rate, penalty) for rate in rates for penalty in penalties]


@exercise(
    given=lambda random: (float(random.uniform(0.01, 0.3)), int(random.integers(1, 60))),
    hint=Said(
        "First the chance that none of n random trials falls among the best share.",
        "先求 n 次随机尝试没有一次落在最好的那部分里的概率。",
    ),
    mistakes={
        Said(
            "that is the chance that none does",
            "这是一次也没有的概率",
        ): lambda share, trials: (1 - share) ** trials,
        Said(
            "chances of several trials do not add up: two may both be among the best",
            "几次尝试的概率不能相加：两次可能都在最好的里面",
        ): (lambda share, trials: share * trials),
    },
)
def chance_of_a_good_trial(share, trials):
    return 1 - (1 - share) ** trials


# --- 7: what a network saw ------------------------------------------------------------------------


@exercise(
    given=lambda random: (random.normal(size=(3, 5, 6)),),
    hint=Said(
        "A pixel matters if any of its colours does, in whichever direction.",
        "一个像素只要有一种颜色要紧就要紧，不论方向。",
    ),
    mistakes={
        Said(
            "a negative slope matters as much as a positive one",
            "负的斜率与正的一样要紧",
        ): lambda dx: dx.max(axis=0),
        Said(
            "colours of opposite signs cancel in a sum",
            "颜色符号相反时，求和会互相抵消",
        ): lambda dx: np.abs(dx.sum(axis=0)),
    },
)
def saliency(dx):
    return np.abs(dx).max(axis=0)


@exercise(
    given=lambda random: (random.normal(size=(4, 3, 5)), random.normal(size=(4, 3, 5))),
    hint=Said(
        "Each map counts as much as the mean of its gradient; then max(sum, 0).",
        "每张特征图的分量是它的梯度的平均值；最后 max(和, 0)。",
    ),
    mistakes={
        Said(
            "what speaks against the class is left out: max(..., 0) is missing",
            "反对这个类别的部分要截掉：漏了 max(..., 0)",
        ): (
            lambda maps, gradients: (gradients.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0)
        ),
        Said(
            "each map has one number that it counts with: the mean over its gradient",
            "每张特征图只有一个分量：它的梯度的平均值",
        ): (lambda maps, gradients: np.maximum((gradients * maps).sum(axis=0), 0)),
    },
)
def grad_cam(maps, gradients):
    weights = gradients.mean(axis=(1, 2))
    return np.maximum((weights[:, None, None] * maps).sum(axis=0), 0)


# --- 8: the roofline ------------------------------------------------------------------------------


@exercise(
    given=lambda random: tuple(int(n) for n in random.integers(1, 600, 3)),
    hint=Said(
        "2 * batch * m * n operations; count the numbers of x, weight, bias and y, 4 bytes each.",
        "2 * batch * m * n 次运算；数一数 x、权重、偏置和 y 有多少个数，每个 4 字节。",
    ),
    mistakes={
        Said(
            "a multiplication and an addition are two operations",
            "一次乘法加一次加法是两次运算",
        ): lambda batch, m, n: batch * m * n / (4 * (batch * m + m * n + n + batch * n)),
        Said(
            "a float32 has four bytes",
            "一个 float32 有四个字节",
        ): lambda batch, m, n: 2 * batch * m * n / (batch * m + m * n + n + batch * n),
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
    hint=Said(
        "Two roofs: the processor's, and what the memory can feed. The lower one counts.",
        "两个屋顶：处理器的，和内存供得上的。低的那个算数。",
    ),
    mistakes={
        Said(
            "that is the memory's roof alone",
            "这只是内存的屋顶",
        ): lambda peak, bandwidth, intensity: bandwidth * intensity,
        Said(
            "that is the higher roof",
            "这是较高的那个屋顶",
        ): lambda peak, bandwidth, intensity: max(peak, bandwidth * intensity),
    },
)
def roof(peak, bandwidth, intensity):
    return min(peak, bandwidth * intensity)
