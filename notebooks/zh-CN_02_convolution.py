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
# # 2. 卷积：从循环到分块
#
# 同一个求和做四遍：照公式写的循环，一次矩阵乘法，fastcnn 的三个后端，
# 以及最快的那个在处理器寄存器里做的事。
#
# **最后**，它们给出的数一个比特都不差，速度却相差几个数量级。

# %%
import time

import numpy as np
from exercise_zh import check, solution

import fastcnn
from fastcnn.layers import Conv2D
from fastcnn.plots.figure import Figure
from kernels import jit
from kernels.tile import TILE_ROWS, TILE_VECTORS

random = np.random.default_rng(0)

# %% [markdown]
# ## 用循环
#
# y[n, o, 行, 列] 是 w[o, c, i, j] * x[n, c, 行 + i, 列 + j] 对 c、i、j 求和。这里用小的整数：
# 它们的和在 float32 里没有舍入，所以两种算法没有理由不同。

# %%
x = random.integers(-4, 5, (2, 3, 12, 12)).astype(np.float32)
w = random.integers(-4, 5, (8, 3, 3, 3)).astype(np.float32)


def by_loops(x, w):
    batch, channels, height, width = x.shape
    filters, _, kernel, _ = w.shape
    y = np.zeros((batch, filters, height - kernel + 1, width - kernel + 1), np.float32)
    for n, o, row, column in np.ndindex(*y.shape):
        for c in range(channels):
            for i in range(kernel):
                for j in range(kernel):
                    y[n, o, row, column] += w[o, c, i, j] * x[n, c, row + i, column + j]
    return y


y = by_loops(x, w)
print(f"{x.shape} -> {y.shape}：{y.size * w[0].size:,} 次乘法")

# %% [markdown]
# **练习。** 上面的输出比输入小。一般说来，沿一个方向有 `size` 个像素时，输出有多大？


# %%
def output_size(size, kernel, stride, padding):
    return None  # 轮到你了


check(output_size)

# %% [markdown]
# ## 用矩阵乘法
#
# 把每个窗口写成一行，所有卷积核就成了一次矩阵乘法（im2col）。窗口互相重叠，
# 所以这个矩阵是图像的 `kernel * kernel` 倍大：用内存换速度。


# %%
def by_product(x, w):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, w[0].size)
    y = rows @ w.reshape(len(w), -1).T
    return y.reshape(len(x), *windows.shape[2:4], len(w)).transpose(0, 3, 1, 2)


print("最大的差：", np.abs(by_product(x, w) - y).max())

# %% [markdown]
# ## 三个后端
#
# fastcnn 有这两种做法，还有第三种：`loop` 是规范，`im2col` 是矩阵乘法，`numba` 是编译的代码，
# 用*寄存器分块*。层用的是当前选定的后端。

# %%
layer = Conv2D(3, 8, 3)
layer.params["weight"] = w
for name in fastcnn.backends.names():
    with fastcnn.backend(name):
        print(f"{name:7}", "最大的差：", np.abs(layer.forward(x) - y).max())

# %% [markdown]
# ## 计时
#
# 每个后端处理 16 通道的图像，在很短的时间里能做多少做多少。

# %%
layer, images = Conv2D(16, 32, 3, padding=1), random.normal(size=(64, 16, 16, 16))
images = images.astype(np.float32)


def images_per_second(batch, seconds=0.2):
    layer.forward(images[:batch])  # 可能要先编译
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        layer.forward(images[:batch])
        done += batch
    return done / passed


speeds = {}
for name, batch in (("loop", 1), ("im2col", 64), ("numba", 64)):
    with fastcnn.backend(name):
        speeds[name] = images_per_second(batch)
        print(f"{name:7}{speeds[name]:12,.0f} 张图像/秒")

figure = Figure(figsize=(6, 2.2), layout="constrained")
axes = figure.subplots()
axes.barh(list(speeds), list(speeds.values()), color="#4c6a92")
axes.set_xscale("log")
axes.set_xlabel("images a second (each step is a factor of ten)")
figure

# %% [markdown]
# ## 分块
#
# 编译的代码比矩阵乘法好在哪里？看最里面的循环。相乘再相加，数要先进寄存器，
# 而装入一个数与乘一次用的时间差不多。一次只算一个输出，每个乘积要装入两次（一个像素、一个权重）。
# `rows` 个像素乘 `vectors` 个卷积核向量的**分块**把所有的和留在寄存器里：
# 每一步装入 `rows` 个像素和 `vectors` 个权重，做 `rows * vectors` 个乘积。
#
# **练习。** 这样的分块每装入一次能做几个乘积？


# %%
def products_per_load(rows, vectors):
    return None  # 轮到你了


check(products_per_load)

# %%
for rows, vectors in ((1, 1), (2, 2), (4, 2), (14, 2)):
    share = solution("products_per_load")(rows, vectors)
    print(f"寄存器里 {rows:2} x {vectors} 个和：每装入一次做 {share:.2f} 个乘积")

# %% [markdown]
# 处理器一个周期能装入的向量与能相乘的差不多，所以每次装入不到一个乘积时它就在等。
# fastcnn 取寄存器能容下的行数，在有 32 个寄存器的处理器上是 14 x 2；前向、
# 两个梯度和全连接层用的都是同一个分块（`kernels/README.md`）。

# %%
target = jit.target()
numbers = target.register_bytes // 4
print(f"这台机器：{TILE_ROWS} 行 x {TILE_VECTORS} 个向量，每个向量 {numbers} 个数")

# %%
assert speeds["numba"] > 20 * speeds["loop"]
print(f"数完全相同，速度是循环的 {speeds['numba'] / speeds['loop']:,.0f} 倍。")
