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
# # 3. Backpropagation, checked number by number
#
# `backward` claims to know how much the loss changes with every single weight. Such a claim can be
# checked: change the weight a little, and look.
#
# **At the end** every gradient of a small network has been compared with differences, one planted
# mistake has been found by them, and one number of the network has been taken apart.

# %%
import numpy as np
from exercise import check

from fastcnn import Sequential
from fastcnn.explaining import explain
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.plots.figure import Figure

random = np.random.default_rng(0)
x, labels = random.normal(size=(3, 2, 6, 6)), np.array([0, 2, 1])
model = Sequential(
    Conv2D(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3), seed=1
).astype(np.float64)

# %% [markdown]
# ## The chain rule, in three exercises
#
# A layer that has made y of x is given dy, the gradient of the loss by its output, and must return
# dx, that by its input. First ReLU, y = max(x, 0):


# %%
def relu_gradient(x, dy):
    return None  # your turn


check(relu_gradient)

# %% [markdown]
# A dense layer, y = x @ weight + bias, has three: return (dx, dweight, dbias).


# %%
def dense_gradients(x, weight, dy):
    return None  # your turn


check(dense_gradients)

# %% [markdown]
# A convolution in one dimension, y[p] = w[0] * x[p] + w[1] * x[p + 1] + ..., without padding.
# Return dx, which is longer than dy.


# %%
def conv_input_gradient(dy, w):
    return None  # your turn


check(conv_input_gradient)

# %% [markdown]
# ## Every number of a network
#
# The loss is a function of each weight. Its slope is measured from both sides, (L(w + h) - L(w -
# h)) / 2h: the error shrinks with h squared, until rounding takes over.

# %%
criterion = CrossEntropyLoss()


def loss():
    return criterion.forward(model.forward(x, training=True), labels)


def measured(array, h=1e-5):
    """The gradient of the loss by every number of an array, by differences."""
    slopes = np.zeros(array.shape)
    for place in np.ndindex(*array.shape):
        before, losses = array[place], []
        for step in (h, -h):
            array[place] = before + step
            losses.append(loss())
        array[place] = before
        slopes[place] = (losses[0] - losses[1]) / (2 * h)
    return slopes


loss()
model.backward(criterion.backward())
claimed = {
    f"{type(layer).__name__} {name}": (layer.params[name], layer.grads[name].copy())
    for layer in model.layers
    for name in layer.params
}
pairs = {}
for name, (array, gradient) in claimed.items():
    pairs[name] = gradient, measured(array)
    worst = np.abs(gradient - pairs[name][1]).max()
    print(f"{name:14} {gradient.size:4} numbers, the worst is off by {worst:.0e}")

# %%
figure = Figure(figsize=(4.5, 4.2), layout="constrained")
axes = figure.subplots()
for name, (claim, found) in pairs.items():
    axes.plot(found.ravel(), claim.ravel(), ".", label=name)
axes.set_xlabel("measured by differences")
axes.set_ylabel("claimed by backward")
axes.legend(fontsize=8)
figure

# %% [markdown]
# ## How large a step?
#
# Too long, and the curve bends between the two points; too short, and two nearly equal losses lose
# their digits in the difference. In float64 the best is near the cube root of the rounding error.

# %%
array, gradient = claimed["Dense weight"]
steps = 10.0 ** np.arange(-1, -13, -1)
errors = [np.abs(measured(array[:2], h) - gradient[:2]).max() for h in steps]
figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
axes.loglog(steps, errors, "o-")
axes.set_xlabel("h")
axes.set_ylabel("largest difference")
figure

# %% [markdown]
# ## A planted mistake
#
# Who writes a convolution's backward often turns the filter round once too often, or not at all.
# The loss still falls, only more slowly: nobody notices, except differences.


# %%
class Turned(Conv2D):
    """A convolution whose weight gradient has its filters turned round."""

    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["weight"] = self.grads["weight"][:, :, ::-1, ::-1].copy()
        return dx


layers = (Turned(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3))
model = Sequential(*layers, seed=1).astype(np.float64)
loss()
model.backward(criterion.backward())
wrong = np.abs(model.layers[0].grads["weight"] - measured(model.layers[0].params["weight"])).max()
print(f"off by {wrong:.2f}: found. `python -m fastcnn.check FILE` does this for layers of yours.")

# %% [markdown]
# ## One number, taken apart
#
# `explain` shows what made one number of the network, and what came back to it. We take the
# largest that the convolution makes of the first image: it passes ReLU, and wins its pooling
# window.

# %%
model = Sequential(
    Conv2D(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3), seed=1
)
image = x[:1].astype(np.float32)
maps = model.layers[0].forward(image)[0]
number = explain(model, image, "conv1", at=np.unravel_index(maps.argmax(), maps.shape), label=0)
for term in number.terms:
    print(f"  {term.x:8.4f} * {term.slope:8.4f} = {term.product:8.4f}   from {term.at}")
print(f"  and the bias {number.constant:.4f} give {number.value:.4f}")
print(f"the loss of this image changes by {number.gradient:.4f} for each unit of it")
for source in number.sources:
    print("computed in", source)

# %%
most = max(np.abs(claim - found).max() for claim, found in pairs.values())
assert most < 1e-7 < 1e-3 < wrong
assert abs(number.total - number.value) < 1e-5
count = sum(claim.size for claim, _ in pairs.values())
print(f"All {count} gradients agree with differences, and the planted mistake did not.")
