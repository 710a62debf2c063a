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
# # 2. Convolution, from loop to tile
#
# The same sum four times: as loops that read like the formula, as one matrix product, as three
# backends of fastcnn, and as what the fastest of them does in the registers of the processor.
#
# **At the end** all of them have given the same numbers, to the last bit, at speeds that are
# orders of magnitude apart.

# %%
import time

import numpy as np
from exercise import check, solution

import fastcnn
from fastcnn.layers import Conv2D
from fastcnn.plots.figure import Figure
from kernels import jit
from kernels.tile import TILE_ROWS, TILE_VECTORS

random = np.random.default_rng(0)

# %% [markdown]
# ## As loops
#
# y[n, o, row, column] is the sum over c, i, j of w[o, c, i, j] * x[n, c, row + i, column + j]. The
# numbers here are small whole ones: their sums are exact in float32, so that two ways of computing
# them have no excuse for a difference.

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
print(f"{x.shape} -> {y.shape}: {y.size * w[0].size:,} multiplications")

# %% [markdown]
# **Exercise.** Above, the output is smaller than the input. How large is it in general, along one
# axis of `size` pixels?


# %%
def output_size(size, kernel, stride, padding):
    return None  # your turn


check(output_size)

# %% [markdown]
# ## As a matrix product
#
# Write every window as a row; then all filters are one matrix product (im2col). The windows
# overlap, so the matrix of rows is `kernel * kernel` times as large as the image: memory for
# speed.


# %%
def by_product(x, w):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, w[0].size)
    y = rows @ w.reshape(len(w), -1).T
    return y.reshape(len(x), *windows.shape[2:4], len(w)).transpose(0, 3, 1, 2)


print("the largest difference:", np.abs(by_product(x, w) - y).max())

# %% [markdown]
# ## Three backends
#
# fastcnn has both ideas, and a third: `loop` is the specification, `im2col` the matrix product,
# `numba` compiled code with a *register tile*. A layer asks whichever is chosen.

# %%
layer = Conv2D(3, 8, 3)
layer.params["weight"] = w
for name in fastcnn.backends.names():
    with fastcnn.backend(name):
        print(f"{name:7}", "the largest difference:", np.abs(layer.forward(x) - y).max())

# %% [markdown]
# ## Timed
#
# Each gets images of 16 channels and as many of them as it can do in a short time.

# %%
layer, images = Conv2D(16, 32, 3, padding=1), random.normal(size=(64, 16, 16, 16))
images = images.astype(np.float32)


def images_per_second(batch, seconds=0.2):
    layer.forward(images[:batch])  # it may have to compile
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        layer.forward(images[:batch])
        done += batch
    return done / passed


speeds = {}
for name, batch in (("loop", 1), ("im2col", 64), ("numba", 64)):
    with fastcnn.backend(name):
        speeds[name] = images_per_second(batch)
        print(f"{name:7}{speeds[name]:12,.0f} images a second")

figure = Figure(figsize=(6, 2.2), layout="constrained")
axes = figure.subplots()
axes.barh(list(speeds), list(speeds.values()), color="#4c6a92")
axes.set_xscale("log")
axes.set_xlabel("images a second (each step is a factor of ten)")
figure

# %% [markdown]
# ## The tile
#
# What does compiled code gain over a matrix product? Look at the innermost loop. To multiply and
# add, numbers must be in registers, and loading one takes as long as multiplying. Computing one
# output at a time takes two loads (a pixel, a weight) for one product. A **tile** of `rows` pixels
# times `vectors` vectors of filters keeps all its sums in registers: each step loads `rows` pixels
# and `vectors` weights, and makes `rows * vectors` products.
#
# **Exercise.** How many products does a tile make for each load?


# %%
def products_per_load(rows, vectors):
    return None  # your turn


check(products_per_load)

# %%
for rows, vectors in ((1, 1), (2, 2), (4, 2), (14, 2)):
    share = solution("products_per_load")(rows, vectors)
    print(f"{rows:2} x {vectors} sums in registers: {share:.2f} products for each load")

# %% [markdown]
# A processor can load about as many vectors a cycle as it can multiply, so with less than one
# product a load it waits. fastcnn takes as many rows as the registers hold, 14 x 2 on a processor
# with 32 of them, and runs the same tile forwards, for both gradients and for dense layers
# (`kernels/README.md`).

# %%
target = jit.target()
numbers = target.register_bytes // 4
print(f"here: {TILE_ROWS} rows x {TILE_VECTORS} vectors of {numbers} numbers")

# %%
assert speeds["numba"] > 20 * speeds["loop"]
print(f"The same numbers, {speeds['numba'] / speeds['loop']:,.0f} times as fast as the loops.")
