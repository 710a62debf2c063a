# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. LeNet-5，照 S4 的写法
#
# S4 的作者用 NumPy 一层一层地写 LeNet-5，每层的 `backward(dy, lr)` 当场更新权重，
# 一轮要等十三分钟。`fastcnn.plain` 里有同名的同样的层：脚本不用改，只把类的定义换成导入。
#
# **最后**，网络学会了区分数字，用的是一个你能读懂的循环，而且你知道它每秒训练多少张图像。

# %%
import time

import numpy as np
from exercise_zh import check

from fastcnn import datasets, plots
from fastcnn.plain import AvgPool2d, Conv2d, CrossEntropyLoss, Linear, Sigmoid
from fastcnn.plots.figure import Figure

data = datasets.load("auto", offline=True).limit(3000, 1000)
print(data.source)
x_train, x_test = (np.float32(images) / 256 for images in (data.x_train, data.x_test))

# %% [markdown]
# ## 网络
#
# 两个 5 x 5 的卷积，各接一个 sigmoid 和一个取平均的池化；然后是三个全连接层。图像是 28 x 28，
# 填充 2 使第一个卷积保持这个大小。权重和偏置都从 N(0, 1) 开始，与作者的代码一样。

# %%
np.random.seed(0)  # 这类脚本用全局的随机数种子
layers = [
    Conv2d(1, 6, 5, padding=2), Sigmoid(), AvgPool2d(2),
    Conv2d(6, 16, 5), Sigmoid(), AvgPool2d(2),
    Linear(400, 120), Sigmoid(),
    Linear(120, 84), Sigmoid(),
    Linear(84, 10),
]  # fmt: skip
criterion = CrossEntropyLoss()


def forward(x):
    for layer in layers:
        if isinstance(layer, Linear) and x.ndim == 4:
            x = x.reshape(len(x), -1)
        x = layer.forward(x)
    return x


def backward(dy, lr):
    """经各层传回去，每层走自己的一步。"""
    for layer in reversed(layers):
        if isinstance(layer, AvgPool2d) and dy.ndim == 2:
            dy = dy.reshape(len(dy), 16, 5, 5)
        dy = layer.backward(dy, lr)


x = x_train[:1]
for layer in layers:
    x = layer.forward(x.reshape(1, -1) if isinstance(layer, Linear) else x)
    print(f"{layer!r:60} {x.shape[1:]}")

# %% [markdown]
# **练习。** 写出 LeNet-5 的池化：图像 (N, C, H, W) 的每个 2 x 2 窗口取平均。


# %%
def average_pool(x):
    return None  # 轮到你了


check(average_pool)

# %% [markdown]
# **练习。** 再写 sigmoid 的梯度，用它的*结果* y。


# %%
def sigmoid_gradient(y, dy):
    return None  # 轮到你了


check(sigmoid_gradient)

# %% [markdown]
# ## 训练
#
# 与 S4 一样：梯度按批求和（`概率 - 标签`），学习率 0.0015，一批 64 张，每轮重新打乱。

# %%
LR, BATCH, EPOCHS = 0.0015, 64, 10
random = np.random.default_rng(0)


def accuracy(x, labels):
    guesses = np.concatenate(
        [forward(x[i : i + 500]).argmax(axis=1) for i in range(0, len(x), 500)]
    )
    return (guesses == labels).mean()


def train(lr, epochs):
    """每一轮训练批上的正确率，随训练随算。"""
    curve = []
    for _ in range(epochs):
        order, right = random.permutation(len(x_train)), 0
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            scores = forward(x_train[rows])
            right += (scores.argmax(axis=1) == data.y_train[rows]).sum()
            _, dy = criterion(scores, data.y_train[rows])
            backward(dy, lr)
        curve.append(right / len(order))
    return curve


started = time.perf_counter()
curve = train(LR, EPOCHS)
speed = EPOCHS * len(x_train) / (time.perf_counter() - started)
for epoch, share in enumerate(curve, 1):
    print(f"第 {epoch:2} 轮：{share:6.1%}")
print(f"每秒 {speed:,.0f} 张图像")

# %% [markdown]
# 头几轮收获很小：输入很大时 sigmoid 是平的，而 N(0, 1) 使输入很大：
# 后面几层的一个输入是大约一百个乘积的和。S4 的作者希望学习率随轮次变化；这里是最简单的一种，
# 最后几轮取三分之一。（也试试三倍。）

# %%
curve += train(LR / 3, 4)
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
axes.plot(range(1, len(curve) + 1), [100 * share for share in curve], "o-")
axes.axvline(EPOCHS + 0.5, color="#6f6f6f", linestyle="--")
axes.set_xlabel("epoch (a third of the rate right of the line)")
axes.set_ylabel("training accuracy (%)")
figure

# %%
scores = forward(x_test[:10])
plots.predictions(data.x_test[:10], data.y_test[:10], scores.argmax(axis=1), data.class_names)

# %%
share = accuracy(x_test, data.y_test)
print(f"{len(x_test)} 张测试图像，答对 {round(share * len(x_test))} 张：{share:.2%}")
assert share > 0.6 and curve[-1] > curve[0]
print(f"LeNet-5 学会了，每秒 {speed:,.0f} 张图像。")
