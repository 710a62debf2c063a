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
# # 8. How fast can a processor be? The roofline of your own
#
# A processor can multiply and add so many numbers a second, and its memory can bring so many.
# Which of the two limits a layer follows from one number: the operations that it does for each
# byte it moves (Williams, Waterman, Patterson, "Roofline", 2009).
#
# **At the end** you have both roofs of this machine, and the layers of LeNet-5 and of a CIFAR
# network as points under them.

# %%
import time

import numpy as np
from exercise import check, solution

from fastcnn.layers import Conv2D, Dense
from fastcnn.plots.figure import Figure
from kernels import jit, peak

threads = jit.get_threads()
jit.set_threads(1)  # one core, one roof

# %% [markdown]
# ## The roof of the processor
#
# Multiply-adds that never leave the registers, as wide as its vectors are; nothing a program does
# can be faster.

# %%
target = jit.target()
gflops = max(peak.gflops(seconds=0.03) for _ in range(5))
print(f"{target.register_bytes // 4} numbers in a vector; {gflops:.0f} GFLOP/s on one core")

# %% [markdown]
# ## The roof of the memory
#
# Arrays that fit into no cache: each number is read once, and written once.

# %%
source, sink = np.ones(24_000_000, np.float32), np.empty(24_000_000, np.float32)


def bandwidth():
    started = time.perf_counter()
    np.multiply(source, np.float32(0.5), out=sink)
    return 2 * source.nbytes / (time.perf_counter() - started) / 1e9


bandwidth()
gigabytes = max(bandwidth() for _ in range(4))
print(f"{gigabytes:.1f} GB/s; the ridge is at {gflops / gigabytes:.1f} operations a byte")

# %% [markdown]
# **Exercise.** A dense layer makes (batch, n) of (batch, m), in float32. How many operations does
# it do for each byte, if x, the weights, the bias and y each cross the memory once?


# %%
def dense_intensity(batch, m, n):
    return None  # your turn


check(dense_intensity)

# %% [markdown]
# **Exercise.** How many GFLOP/s can a layer of that intensity reach, with these two roofs?


# %%
def roof(peak, bandwidth, intensity):
    return None  # your turn


check(roof)

# %% [markdown]
# ## The layers
#
# Each runs forwards on a batch of 32, over and over. Operations are those of the formula, 2 for
# each product.

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
    """(operations a byte, GFLOP/s) of a layer forwards."""
    x = random.normal(size=(BATCH, *shape)).astype(np.float32)
    y = layer.forward(x)
    if x.ndim == 4:  # as layers pass it on: the channels of a pixel side by side
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
gflops = max(gflops, *(peak.gflops(seconds=0.03) for _ in range(5)))  # was it busy before?
for name, (intensity, speed) in points.items():
    share = speed / solution("roof")(gflops, gigabytes, intensity)
    print(f"{name:24} {intensity:6.1f} a byte {speed:7.1f} GFLOP/s, {share:4.0%} of its roof")

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
# Two things that surprise. Layers to the left may stand *above* the slope: the roof is that of the
# memory, and arrays that fit into a cache need none. And the two convolutions of 32 channels may
# come near the flat roof or above it, with their operations counted by the formula: Winograd's
# method needs 16 products where the formula has 36, or 46 for 144, and takes a filter of 5 x 5 as
# four of 3 x 3. If others stand above it, another program was busy while the roof was measured:
# run it again.

# %%
assert gflops > 0 and gigabytes > 0 and len(points) == len(LAYERS)
assert all(speed > 0 for _, speed in points.values())
jit.set_threads(threads)
print(f"Two roofs ({gflops:.0f} GFLOP/s, {gigabytes:.0f} GB/s), {len(points)} layers under them.")
