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
# # 5. LeNet-5, as S4 wrote it
#
# S4's author wrote LeNet-5 in NumPy, layer by layer, each with `backward(dy, lr)` that takes the
# step at once, and waited 13 minutes for an epoch. `fastcnn.plain` has the same layers under the
# same names: the script stays as it is, and only its classes are imported instead.
#
# **At the end** the network has learned to tell digits apart, by a loop that you can read, and you
# know how many images a second it trained on.

# %%
import time

import numpy as np
from exercise import check

from fastcnn import datasets, plots
from fastcnn.plain import AvgPool2d, Conv2d, CrossEntropyLoss, Linear, Sigmoid
from fastcnn.plots.figure import Figure

data = datasets.load("auto", offline=True).limit(3000, 1000)
print(data.source)
x_train, x_test = (np.float32(images) / 256 for images in (data.x_train, data.x_test))

# %% [markdown]
# ## The network
#
# Two convolutions with 5 x 5 filters, each followed by a sigmoid and by pooling that averages;
# then three dense layers. The images are 28 x 28; with a padding of 2 the first convolution keeps
# that. Weights and biases start from N(0, 1), as in the author's code.

# %%
np.random.seed(0)  # scripts of this kind seed the global generator
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
    """Back through all layers, each of which takes its step."""
    for layer in reversed(layers):
        if isinstance(layer, AvgPool2d) and dy.ndim == 2:
            dy = dy.reshape(len(dy), 16, 5, 5)
        dy = layer.backward(dy, lr)


x = x_train[:1]
for layer in layers:
    x = layer.forward(x.reshape(1, -1) if isinstance(layer, Linear) else x)
    print(f"{layer!r:60} {x.shape[1:]}")

# %% [markdown]
# **Exercise.** Write the pooling that LeNet-5 has: the mean of every 2 x 2 window of images (N, C,
# H, W).


# %%
def average_pool(x):
    return None  # your turn


check(average_pool)

# %% [markdown]
# **Exercise.** And the gradient of the sigmoid, from its *result* y.


# %%
def sigmoid_gradient(y, dy):
    return None  # your turn


check(sigmoid_gradient)

# %% [markdown]
# ## Training
#
# As in S4: the gradient is summed over the batch (`probabilities - labels`), the rate 0.0015, 64
# images a batch, in a new order each epoch.

# %%
LR, BATCH, EPOCHS = 0.0015, 64, 10
random = np.random.default_rng(0)


def accuracy(x, labels):
    guesses = np.concatenate(
        [forward(x[i : i + 500]).argmax(axis=1) for i in range(0, len(x), 500)]
    )
    return (guesses == labels).mean()


def train(lr, epochs):
    """Accuracy on the training batches of each epoch, as they were trained on."""
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
    print(f"epoch {epoch:2}: {share:6.1%}")
print(f"{speed:,.0f} images a second")

# %% [markdown]
# The first epochs bring little: sigmoids whose inputs are large are flat, and N(0, 1) makes them
# large: an input of the last layers is a sum of about a hundred products. S4's author wished for a
# rate that changes with the epoch; here is the simplest such schedule, a third of the rate for the
# last epochs. (Try three times the rate.)

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
print(f"{len(x_test)} test images, {round(share * len(x_test))} correct: {share:.2%}")
assert share > 0.6 and curve[-1] > curve[0]
print(f"LeNet-5 has learned, at {speed:,.0f} images a second.")
