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
# # 1. 手写一个网络，再用 fastcnn
#
# 用三十行 NumPy 写一个有一个隐藏层的网络：前向、损失、反向、更新。再用 fastcnn 的层搭同一个网络，
# 初始权重相同，每一批图像也相同。
#
# **最后**，两者每一步的损失在四位数字上一致，最后一格会说出来。
#
# 每个练习下面的 `check` 检查你写的函数：对了就说“正确”，不对就说大概错在哪里。
# 只有数据来源那一行和图上的字是英文。

# %%
import numpy as np
from exercise_zh import check

from fastcnn import Sequential, datasets, plots
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import SGD

data = datasets.load("auto", offline=True).limit(1500, 500)
print(data.source)
x_train, x_test = (
    images.reshape(len(images), -1) / 255.0 for images in (data.x_train, data.x_test)
)
plots.given(data.x_train[:10], [data.class_names[label] for label in data.y_train[:10]])

# %% [markdown]
# ## 手写
#
# 一张图像是一行 784 个数。隐藏层有 64 个单元，输出层给每个数字一个得分；softmax 把得分变成概率，
# 损失是真实数字的概率取对数、变号，再对一批取平均。

# %%
random = np.random.default_rng(0)
W1, b1 = random.normal(0, np.sqrt(2 / 784), (784, 64)), np.zeros(64)
W2, b2 = random.normal(0, np.sqrt(2 / 64), (64, 10)), np.zeros(10)
start = [array.copy() for array in (W1, b1, W2, b2)]


def forward(x):
    hidden = np.maximum(x @ W1 + b1, 0)
    scores = hidden @ W2 + b2
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, exponentials / exponentials.sum(axis=1, keepdims=True)


def step(x, labels, rate):
    """走一步梯度下降，返回走之前的损失。"""
    rows = np.arange(len(x))
    hidden, p = forward(x)
    loss = -np.log(p[rows, labels]).mean()

    dscores = p.copy()  # 损失对得分的梯度 =（概率 - 真实）/ 批的大小
    dscores[rows, labels] -= 1
    dscores /= len(x)
    dhidden = (dscores @ W2.T) * (hidden > 0)  # 经 W2 传回，再经 ReLU

    for array, gradient in (
        (W2, hidden.T @ dscores), (b2, dscores.sum(axis=0)),
        (W1, x.T @ dhidden), (b1, dhidden.sum(axis=0)),
    ):  # fmt: skip
        array -= rate * gradient
    return loss


# %%
EPOCHS, BATCH, RATE = 5, 32, 0.1


def batches():
    """每次调用都给出同样的批。"""
    random = np.random.default_rng(1)
    for _ in range(EPOCHS):
        order = random.permutation(len(x_train))
        yield from (order[first : first + BATCH] for first in range(0, len(order), BATCH))


for array, first in zip((W1, b1, W2, b2), start, strict=True):
    array[:] = first  # 每次运行本单元格都从头开始
by_hand = [step(x_train[rows], data.y_train[rows], RATE) for rows in batches()]
accuracy_by_hand = (forward(x_test)[1].argmax(axis=1) == data.y_test).mean()
print(f"损失开始时 {by_hand[0]:.3f}，最后 {np.mean(by_hand[-20:]):.3f}；", end="")
print(f"测试正确率 {accuracy_by_hand:.1%}")

# %% [markdown]
# **练习。** 一切都从损失对得分的梯度开始。给定概率 `p`（N, 类别数）和标签 `labels`（N,），
# 写出这个梯度。（先运行 `from exercise_zh import hint, answer`，
# 然后 `hint("cross_entropy_gradient")` 给提示，
# `answer("cross_entropy_gradient")` 给出一种写法。）


# %%
def cross_entropy_gradient(p, labels):
    return None  # 轮到你了


check(cross_entropy_gradient)

# %% [markdown]
# **练习。** 这样的网络要学多少个数？我们的网络里 `sizes` 是 (784, 64, 10)。


# %%
def count_parameters(sizes):
    return None  # 轮到你了


check(count_parameters)

# %% [markdown]
# ## 用 fastcnn
#
# 同一个网络写成一排层。`Dense` 的权重形状是（输入, 输出），与我们手写的一样，
# 所以可以直接把我们的权重写进去。

# %%
model = Sequential(Dense(784, 64), ReLU(), Dense(64, 10))
for layer, weight, bias in ((model.layers[0], *start[:2]), (model.layers[2], *start[2:])):
    layer.params["weight"], layer.params["bias"] = weight, bias

loss, optimizer, through_layers = CrossEntropyLoss(), SGD(RATE), []
for rows in batches():
    scores = model.forward(x_train[rows].astype(np.float32), training=True)
    through_layers.append(loss.forward(scores, data.y_train[rows]))
    model.backward(loss.backward(), input_gradient=False)
    optimizer.step(model)
print(model.summary((784,)))

# %% [markdown]
# 手写用的是 float64，fastcnn 用 float32：两种损失只差舍入误差，此外没有差别。

# %%
apart = np.abs(np.array(by_hand) - through_layers).max()
print(f"{len(by_hand)} 步，两种损失相差最多 {apart:.0e}")

# %% [markdown]
# ## 加上卷积
#
# 既然知道这些层是对的，换一个网络只要一行一个层。`train` 负责循环、打乱、测量和显示。

# %%
network = Sequential(
    Conv2D(1, 8, 3, padding=1), ReLU(), MaxPool2D(2),
    Conv2D(8, 16, 3, padding=1), ReLU(), MaxPool2D(2),
    Flatten(), Dense(16 * 7 * 7, 10), seed=0,
)  # fmt: skip
history = network.train(
    data.x_train, data.y_train, epochs=EPOCHS, batch_size=BATCH, optimizer=SGD(RATE),
    test=(data.x_test, data.y_test), progress=False,
)  # fmt: skip
plots.curves(history, "two convolutions, each with ReLU and pooling, and a dense layer")

# %%
with_convolution = network.evaluate(data.x_test, data.y_test)[1]
print(f"手写的网络 {accuracy_by_hand:.1%}，有卷积的网络 {with_convolution:.1%}")
assert apart < 1e-4, "fastcnn and the network by hand are not the same"
assert min(accuracy_by_hand, with_convolution) > 0.7
print(f"手写的网络与 fastcnn 的 {len(by_hand)} 个损失相同。")
