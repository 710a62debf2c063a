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
# # 1. A network by hand, then through fastcnn
#
# A network with one hidden layer in 30 lines of NumPy: forward, loss, backward, step. Then the
# same network made of fastcnn's layers, with the same starting weights and the same batches.
#
# **At the end** both have made the same losses, to four digits, and the last cell says so.

# %%
import numpy as np
from exercise import check

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
# ## By hand
#
# An image is a row of 784 numbers. The hidden layer has 64 units, the output one score a digit;
# softmax makes probabilities of scores, and the loss is minus the logarithm of the probability of
# the true digit, averaged over the batch.

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
    """One step downhill; returns the loss before it."""
    rows = np.arange(len(x))
    hidden, p = forward(x)
    loss = -np.log(p[rows, labels]).mean()

    dscores = p.copy()  # dLoss/dscores = (probabilities - truth) / batch
    dscores[rows, labels] -= 1
    dscores /= len(x)
    dhidden = (dscores @ W2.T) * (hidden > 0)  # back through W2, then through ReLU

    for array, gradient in (
        (W2, hidden.T @ dscores), (b2, dscores.sum(axis=0)),
        (W1, x.T @ dhidden), (b1, dhidden.sum(axis=0)),
    ):  # fmt: skip
        array -= rate * gradient
    return loss


# %%
EPOCHS, BATCH, RATE = 5, 32, 0.1


def batches():
    """The same batches whenever it is called."""
    random = np.random.default_rng(1)
    for _ in range(EPOCHS):
        order = random.permutation(len(x_train))
        yield from (order[first : first + BATCH] for first in range(0, len(order), BATCH))


for array, first in zip((W1, b1, W2, b2), start, strict=True):
    array[:] = first  # As at the start, whenever this cell is run
by_hand = [step(x_train[rows], data.y_train[rows], RATE) for rows in batches()]
accuracy_by_hand = (forward(x_test)[1].argmax(axis=1) == data.y_test).mean()
print(f"loss {by_hand[0]:.3f} at first, {np.mean(by_hand[-20:]):.3f} at last; ", end="")
print(f"{accuracy_by_hand:.1%} of the test images are right")

# %% [markdown]
# **Exercise.** The line that everything else follows from is the gradient of the loss by the
# scores. Write it for probabilities `p` (N, classes) and `labels` (N,).
# (`hint("cross_entropy_gradient")` and `answer("cross_entropy_gradient")` after `from exercise
# import hint, answer`.)


# %%
def cross_entropy_gradient(p, labels):
    return None  # your turn


check(cross_entropy_gradient)

# %% [markdown]
# **Exercise.** How many numbers does such a network learn? `sizes` is (784, 64, 10) for ours.


# %%
def count_parameters(sizes):
    return None  # your turn


check(count_parameters)

# %% [markdown]
# ## Through fastcnn
#
# The same network as a row of layers. `Dense` keeps its weights as (in, out), as we did, so ours
# can be written into it.

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
# By hand we computed in float64, fastcnn in float32: the losses differ by rounding, and by nothing
# else.

# %%
apart = np.abs(np.array(by_hand) - through_layers).max()
print(f"{len(by_hand)} steps; the two losses are never further apart than {apart:.0e}")

# %% [markdown]
# ## With convolutions
#
# Now that the layers are known to be right, other networks cost a line each. `train` makes the
# loop, shuffles, measures and shows.

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
print(f"by hand {accuracy_by_hand:.1%}, with convolutions {with_convolution:.1%}")
assert apart < 1e-4, "fastcnn and the network by hand are not the same"
assert min(accuracy_by_hand, with_convolution) > 0.7
print(f"The network by hand and fastcnn made the same {len(by_hand)} losses.")
