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
# # 6. CIFAR-10 as in S3, with a search
#
# S3's author tries 27 settings of a network with two convolutions, keeps the best by its
# validation accuracy, and then tries four strengths of dropout. Here is the same on a few images.
#
# **At the end** a grid has been searched, drawn, and its best setting tested, once, on images that
# no choice has seen.

# %%
import numpy as np
from exercise import check, solution

from fastcnn import datasets, models, plots
from fastcnn.optim import SGD
from fastcnn.schedules import ExponentialDecay

try:
    data = datasets.load("cifar10", offline=True)
except datasets.MissingDataError:
    data = datasets.load("digits")
    print("CIFAR-10 is not here (`python -m fastcnn.train --dataset cifar10` fetches it).")
data = data.limit(800, 500)
x_train, y_train = data.x_train[:600], data.y_train[:600]
x_val, y_val = data.x_train[600:], data.y_train[600:]
print(f"{data.source} {len(x_train)} to train on, {len(x_val)} to choose by.")
plots.given(data.x_train[:10], [data.class_names[label] for label in data.y_train[:10]])

# %% [markdown]
# ## One setting
#
# A setting goes in, a trained network and its validation accuracy come out. The network is S3's
# with fewer filters, and with momentum, which he does without.


# %%
def tried(lr, weight_decay, dropout=0.5, epochs=2):
    model = models.build(
        "cifar-cnn", input_shape=data.x_train.shape[1:], dropout=dropout, filters=(16, 16), seed=0
    )
    history = model.train(
        x_train, y_train, validation=(x_val, y_val), epochs=epochs, batch_size=64,
        optimizer=SGD(lr, momentum=0.9, weight_decay=weight_decay),
        schedule=ExponentialDecay(0.995), monitor="val_accuracy", restore_best=True, progress=False,
    )  # fmt: skip
    return model, max(history["val_accuracy"])


# %% [markdown]
# ## A grid
#
# **Exercise.** List every rate with every penalty, as pairs, the penalties inside.


# %%
def grid(rates, penalties):
    return None  # your turn


check(grid)

# %%
trials = []
for lr, weight_decay in solution("grid")([0.003, 0.01, 0.03], [0.001, 0.01]):
    accuracy = tried(lr, weight_decay)[1]
    trials.append(({"lr": lr, "weight_decay": weight_decay}, accuracy))
    print(f"lr {lr:<6} L2 {weight_decay:<6} {accuracy:6.1%}")
best = max(trials, key=lambda trial: trial[1])[0]
print("best:", best)

# %%
plots.search_grid(trials)

# %% [markdown]
# Mind what 200 images can tell: one image is half a percent, and chance moves such an accuracy by
# three percent either way. The best of six may well be the third best.
#
# ## Then dropout, at the best point

# %%
dropouts = []
for dropout in (0.0, 0.3, 0.5):
    dropouts.append(({"dropout": dropout}, tried(**best, dropout=dropout)[1]))
plots.search_bars(dropouts)

# %% [markdown]
# ## Or at random
#
# With many settings a grid wastes trials: it repeats the same few values of the setting that
# matters.
#
# **Exercise.** How likely does at least one of `trials` random settings fall among the best
# `share` of all settings?


# %%
def chance_of_a_good_trial(share, trials):
    return None  # your turn


check(chance_of_a_good_trial)

# %%
chance = solution("chance_of_a_good_trial")
print(f"one of the best 5 % among 60 random trials: {chance(0.05, 60):.0%}")

# %% [markdown]
# The command does all of this on several processes, goes on after a crash, and proposes by what it
# has seen:
#
#     python -m fastcnn.search --model cifar-cnn --search lr=0.001..0.1 --search dropout=0..0.7
#
# ## The test, once
#
# The best of many validation accuracies is a little lucky, so it says too much. The test images
# were not looked at until now.

# %%
dropout = max(dropouts, key=lambda trial: trial[1])[0]["dropout"]
model, validation = tried(**best, dropout=dropout, epochs=6)
loss, test = model.evaluate(data.x_test, data.y_test)
print(f"validation {validation:.1%}, test {test:.1%}")
plots.confusion(data.y_test, model.predict(data.x_test), data.class_names)

# %%
guessing = np.bincount(data.y_test).max() / len(data.y_test)
assert len(trials) == 6 and len(dropouts) == 3
assert test > 1.5 * guessing
print(f"The best of nine settings: {test:.1%} right, where guessing has {guessing:.1%}.")
