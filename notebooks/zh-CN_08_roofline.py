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
# # 8. 处理器能有多快？你自己机器的屋顶线
#
# 处理器每秒能做这么多次乘加，内存每秒能送来这么多数。一个层受哪一个限制，看一个数就知道：
# 每搬运一个字节做多少次运算（Williams、Waterman、Patterson，“Roofline”，2009）。
#
# **最后**，你有这台机器的两个屋顶，LeNet-5 和一个 CIFAR 网络的层是屋顶下的点。

# %%
import time

import numpy as np
from exercise_zh import check, solution

from fastcnn.layers import Conv2D, Dense
from fastcnn.plots.figure import Figure
from kernels import jit, peak

threads = jit.get_threads()
jit.set_threads(1)  # 一个核心，一个屋顶

# %% [markdown]
# ## 处理器的屋顶
#
# 不离开寄存器的乘加，与向量一样宽；程序做什么都不可能更快。

# %%
target = jit.target()
gflops = max(peak.gflops(seconds=0.03) for _ in range(5))
print(f"一个向量 {target.register_bytes // 4} 个数；一个核心 {gflops:.0f} GFLOP/s")

# %% [markdown]
# ## 内存的屋顶
#
# 大得放不进任何缓存的数组：每个数读一次、写一次。

# %%
source, sink = np.ones(24_000_000, np.float32), np.empty(24_000_000, np.float32)


def bandwidth():
    started = time.perf_counter()
    np.multiply(source, np.float32(0.5), out=sink)
    return 2 * source.nbytes / (time.perf_counter() - started) / 1e9


bandwidth()
gigabytes = max(bandwidth() for _ in range(4))
print(f"{gigabytes:.1f} GB/s；两个屋顶相交于每字节 {gflops / gigabytes:.1f} 次运算")

# %% [markdown]
# **练习。** 一个全连接层由 (batch, m) 算出 (batch, n)，用 float32。如果 x、权重、
# 偏置和 y 各过内存一次，每个字节它做多少次运算？


# %%
def dense_intensity(batch, m, n):
    return None  # 轮到你了


check(dense_intensity)

# %% [markdown]
# **练习。** 有这两个屋顶，这样强度的层最多能到多少 GFLOP/s？


# %%
def roof(peak, bandwidth, intensity):
    return None  # 轮到你了


check(roof)

# %% [markdown]
# ## 各个层
#
# 每个层在 32 张的批上反复做前向。运算次数按公式计，每个乘积算 2 次。

# %%
BATCH = 32
LAYERS = {
    "conv 5x5 1->6, 28x28": (Conv2D(1, 6, 5, padding=2), (1, 28, 28)),
    "conv 5x5 6->16, 14x14": (Conv2D(6, 16, 5), (6, 14, 14)),
    "conv 3x3 32->32, 16x16": (Conv2D(32, 32, 3, padding=1), (32, 16, 16)),
    "conv 5x5 32->32, 16x16": (Conv2D(32, 32, 5, padding=2), (32, 16, 16)),
    "dense 400->120": (Dense(400, 120), (400,)),
    "dense 3072->1024": (Dense(3072, 1024), (3072,)),
}
random = np.random.default_rng(0)


def measured(layer, shape, seconds=0.05):
    """一个层前向的（每字节运算次数，GFLOP/s）。"""
    x = random.normal(size=(BATCH, *shape)).astype(np.float32)
    y = layer.forward(x)
    if x.ndim == 4:  # 层与层之间就这样传：一个像素的各通道相邻
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    weight = layer.params["weight"]
    operations = 2 * y.size // weight.shape[0 if x.ndim == 4 else 1] * weight.size
    moved = 4 * (x.size + y.size + sum(array.size for array in layer.params.values()))
    best, ends = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        layer.forward(x)
        best = max(best, operations / (time.perf_counter() - started) / 1e9)
    return operations / moved, best


points = {name: measured(*layer) for name, layer in LAYERS.items()}
gflops = max(gflops, *(peak.gflops(seconds=0.03) for _ in range(5)))  # 刚才是不是有别的程序在忙？
for name, (intensity, speed) in points.items():
    share = speed / solution("roof")(gflops, gigabytes, intensity)
    print(f"{name:24} 每字节 {intensity:6.1f} 次 {speed:7.1f} GFLOP/s，达到屋顶的 {share:4.0%}")

# %%
figure = Figure(figsize=(7.5, 4), layout="constrained")
axes = figure.subplots()
intensities = np.geomspace(0.5, 500, 100)
axes.loglog(intensities, [solution("roof")(gflops, gigabytes, each) for each in intensities], "k-")
for marker, (name, point) in zip("os^Dv*", points.items(), strict=True):
    axes.plot(*point, marker, label=name, markersize=9)
axes.set_xlabel("operations for each byte of memory")
axes.set_ylabel("GFLOP/s")
axes.legend(fontsize=8)
figure

# %% [markdown]
# 有两点出人意料。左边的层可能在斜线*上方*：那是内存的屋顶，放得进缓存的数组用不着内存。
# 两个 32 通道的卷积可能接近或超过平的屋顶，因为运算次数按公式计：公式要 36 个乘积的地方，
# Winograd 的办法只要 16 个，要 144 个的地方只要 46 个；5 x 5 的卷积核当作四个 3 x 3 的来算。
# 别的层若也在上方，那是量屋顶时有别的程序在忙：再运行一次。

# %%
assert gflops > 0 and gigabytes > 0 and len(points) == len(LAYERS)
assert all(speed > 0 for _, speed in points.values())
jit.set_threads(threads)
print(f"两个屋顶（{gflops:.0f} GFLOP/s、{gigabytes:.0f} GB/s），屋顶下有 {len(points)} 个层。")
