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
# # 7. What a network saw
#
# Filters, feature maps, saliency and Grad-CAM: four ways to ask a trained network what it looks
# at. And one to check the answer: cover the place, and see whether the network minds.
#
# **At the end** you have all four pictures for a digit, and covering where Grad-CAM points has
# hurt more than covering elsewhere.

# %%
import numpy as np
from exercise import check, solution

from fastcnn import Sequential, datasets, plots
from fastcnn.layers import Conv2D, Dense, GlobalAveragePool2D, MaxPool2D, ReLU
from fastcnn.optim import Adam
from fastcnn.plots.figure import Figure

data = datasets.load("auto", offline=True).limit(2500, 300)
print(data.source)
model = Sequential(
    Conv2D(1, 16, 5, padding=2), ReLU(), MaxPool2D(2),
    Conv2D(16, 32, 5, padding=2), ReLU(),
    GlobalAveragePool2D(), Dense(32, 10), seed=3, input_shape=(1, 28, 28),
)  # fmt: skip
model.train(data.x_train, data.y_train, epochs=6, optimizer=Adam(1e-2), progress=False)
accuracy = model.evaluate(data.x_test, data.y_test)[1]
print(f"{accuracy:.1%} of the test images are right")

# %% [markdown]
# ## Filters
#
# What the first layer multiplies an image with. Bright and dark side by side: an edge in that
# direction makes a large number.

# %%
plots.weight_tiles(model.layers[0].params["weight"], "the filters of the first layer")

# %% [markdown]
# ## Feature maps
#
# What the layers make of one image: the first ones still look like it, the later ones say where
# something was found.

# %%
right = np.flatnonzero(model.predict(data.x_test) == data.y_test)
chosen = right[0]
image, label = data.x_test[chosen], data.y_test[chosen]
plots.feature_maps(model, image, f"a {data.class_names[label]}", most=8)

# %% [markdown]
# ## Saliency
#
# The gradient of a class's score by the *pixels*: by how much would the score change if this pixel
# did? `backward` gives it, for a 1 in the place of the score (Simonyan, Vedaldi, Zisserman, "Deep
# Inside Convolutional Networks", 2013).


# %%
def run(images, classes):
    """Scores, the last convolution's maps and the gradients by them and by the pixels."""
    x = model.prepared(images)
    passed = [x]
    for layer in model.layers:
        passed.append(layer.forward(passed[-1], training=True).copy())
    scores = passed[-1]
    dy = np.zeros_like(scores)
    dy[np.arange(len(images)), classes] = 1
    gradients = {}
    for place in reversed(range(len(model.layers))):
        gradients[place + 1] = dy.copy()
        dy = model.layers[place].backward(dy)
    return scores, passed[5], gradients[5], dy


# %% [markdown]
# **Exercise.** The gradient by an image is (C, H, W). How much does each *pixel* matter, (H, W)?


# %%
def saliency(dx):
    return None  # your turn


check(saliency)

# %% [markdown]
# ## Grad-CAM
#
# The maps of the last convolution say *where* something is, the gradient by them *what speaks for
# the class*: each map counts as much as the mean of its gradient, and what speaks against is cut
# off (Selvaraju et al., "Grad-CAM", 2017).
#
# **Exercise.** From `maps` and their `gradients`, both (maps, H, W), make the picture (H, W).


# %%
def grad_cam(maps, gradients):
    return None  # your turn


check(grad_cam)

# %%
scores, maps, gradients, dx = run(image[None], [label])
pixels = solution("saliency")(dx[0])
heat = solution("grad_cam")(maps[0], gradients[0])

figure = Figure(figsize=(8, 2.8), layout="constrained")
for axes, (title, shown) in zip(
    figure.subplots(1, 3),
    {"the image": image[0], "saliency": pixels, "Grad-CAM": np.kron(heat, np.ones((2, 2)))}.items(),
    strict=True,
):
    axes.imshow(shown, cmap="cividis")
    axes.set_title(title)
    axes.set_axis_off()
figure

# %% [markdown]
# ## Is it true?
#
# A heat map always looks convincing. So cover a square of the image where the map is hottest, and
# one where it is coldest, both where there is ink, and see what the class's probability loses.

# %%
SIDE = 8
some = right[:60]
images, labels = data.x_test[some], data.y_test[some]
_, maps, gradients, _ = run(images, labels)


def covered(image, corner):
    changed = image.copy()
    changed[:, corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE] = 0
    return changed


def sums(picture):
    """The sum of every square of SIDE x SIDE."""
    return np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE)).sum(axis=(2, 3))


hot, cold = [], []
for image, one_map, gradient in zip(images, maps, gradients, strict=True):
    heat = sums(np.kron(solution("grad_cam")(one_map, gradient), np.ones((2, 2))))
    ink = sums(image[0].astype(float))
    inked = ink >= 0.5 * ink.max()
    hottest, coldest = (
        np.where(inked, heat, -np.inf).argmax(),
        np.where(inked, heat, np.inf).argmin(),
    )
    hot.append(covered(image, np.unravel_index(hottest, heat.shape)))
    cold.append(covered(image, np.unravel_index(coldest, heat.shape)))

rows = np.arange(len(some))
before, after_hot, after_cold = (
    model.predict_proba(shown)[rows, labels].mean()
    for shown in (images, np.array(hot), np.array(cold))
)
print(f"probability of the true class: {before:.1%}")
print(f"  covered where Grad-CAM is hottest: {after_hot:.1%}")
print(f"  covered where it is coldest:       {after_cold:.1%}")

# %% [markdown]
# This network ends with a mean over each map, so that a score is a sum over places, and Grad-CAM
# says what each place adds to it. With `Flatten()` in the place of the mean, and a dense layer
# that weighs every place of every map by itself, one number for a map is too little: put it in,
# and see whether the last cell still holds.

# %%
assert accuracy > 0.6
assert after_hot < after_cold < before
print("Covering where Grad-CAM points hurts more than covering elsewhere.")
