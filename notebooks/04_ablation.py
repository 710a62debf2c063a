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
# # 4. An ablation: which technique does what?
#
# S1, one of the five systems that fastcnn reproduces, adds techniques to a small network one after
# the other, and writes down the test accuracy after each: Adam, BatchNorm, Dropout, an L2 penalty,
# a schedule with early stopping. Each time it goes up.
#
# **At the end** you have made his table on a few images, seen why one run a row decides nothing,
# and read off many runs on all images which of the steps are real.

# %%
from pathlib import Path

import numpy as np
from exercise import check, solution

from fastcnn import datasets, models, plots
from fastcnn.config import replace
from fastcnn.config.presets import configure
from fastcnn.config.recipe import resolved
from fastcnn.optim import SGD, Adam
from fastcnn.plots.figure import Figure
from fastcnn.reproduction.records import Records
from fastcnn.reproduction.s1_claims import ABLATION

data = datasets.load("auto", offline=True).limit(900, 500)
print(data.source)

# %% [markdown]
# ## On a few images
#
# A row is what the network is built with, its optimizer, and what else training is told.

# %%
baseline = {}
norm = {"norm": "batch"}
dropout = {"norm": "batch", "dropout": 0.5}
stopping = {"schedule": "cosine", "validation": 0.1, "patience": 5}
ROWS = {
    "baseline": (baseline, lambda: SGD(0.01), {}),
    "+ Adam": (baseline, lambda: Adam(1e-3), {}),
    "+ BatchNorm": (norm, lambda: Adam(1e-3), {}),
    "+ Dropout": (dropout, lambda: Adam(1e-3), {}),
    "+ L2": (dropout, lambda: Adam(1e-3, weight_decay=1e-4), {}),
    "+ schedule, stopping": (dropout, lambda: Adam(1e-3, weight_decay=1e-4), stopping),
}
SEEDS, EPOCHS = (0, 1), 3

histories, accuracies = {}, {}
for name, (changes, optimizer, options) in ROWS.items():
    accuracies[name] = []
    for seed in SEEDS:
        model = models.build("mnist-baseline", seed=seed, **changes)
        histories[name] = model.train(
            data.x_train, data.y_train, epochs=EPOCHS, optimizer=optimizer(),
            test=(data.x_test, data.y_test), progress=False, **options,
        )  # fmt: skip
        accuracies[name].append(model.evaluate(data.x_test, data.y_test)[1])
    print(f"{name:22}", "  ".join(f"{accuracy:6.1%}" for accuracy in accuracies[name]))

# %%
plots.overlay(histories, "loss", title="what each technique does to the training loss (last seed)")

# %% [markdown]
# Dropout *raises* the training loss: half of the units are missing while it is measured. And with
# a few steps, rows that differ in little may stand in any order: look at the two columns.
#
# **Exercise.** How sure is a difference? Two rows were trained with the same seeds. Return the
# mean of the paired differences, and its standard error.


# %%
def paired_difference(before, after):
    return None  # your turn


check(paired_difference)

# %% [markdown]
# ## On all images, with many seeds
#
# Training on all of MNIST takes minutes a row and seed. This project did it, and keeps what every
# run measured in a text file; `python -m fastcnn.reproduce S1.2` makes the table of it.

# %%
runs = Path("docs/reproduction/runs.jsonl")
records = Records(runs if runs.exists() else Path("..") / runs)
kept = {}
for name, experiment in ABLATION:
    settings = resolved(configure(experiment.settings()))
    found = [records.find(replace(settings, {"seed": seed})) for seed in range(42, 72)]
    kept[name] = np.array([100 * run.result["test_accuracy"] for run in found if run])

seeds = min(map(len, kept.values()))
print(f"{seeds} seeds a row\n{'':32}  accuracy     step, in points")
names = list(kept)
for before, name in zip([None, *names], names, strict=False):
    line = f"{name:32}  {kept[name].mean():6.2f} %"
    if before is not None and seeds > 1:
        step, error = solution("paired_difference")(kept[before][:seeds], kept[name][:seeds])
        line += f"  {step:+.2f} ± {2 * error:.2f}  {'real' if abs(step) > 2 * error else ''}"
    print(line)

# %%
figure = Figure(figsize=(7, 2.8), layout="constrained")
axes = figure.subplots()
for place, name in enumerate(names):
    axes.plot(kept[name], np.full(len(kept[name]), place), "o", alpha=0.5, color="#1b3a6b")
    axes.plot(kept[name].mean(), place, "|", markersize=22, color="#e07b28")
axes.set_yticks(range(len(names)), names)
axes.invert_yaxis()
axes.set_xlabel("test accuracy (%): a dot for each seed, a line at the mean")
figure

# %% [markdown]
# A step that is smaller than the spread of the dots would come out the other way round with
# another seed as often as not. `python -m fastcnn.compare A.toml B.toml --until-decided` adds
# seeds until a difference is told, or excluded.
#
# **Exercise.** The L2 penalty adds `weight_decay / 2 * sum(w * w)` to the loss. What does one step
# of plain gradient descent become? Return the new w.


# %%
def step_with_l2(w, lr, weight_decay, gradient):
    return None  # your turn


check(step_with_l2)

# %%
assert list(accuracies) == list(ROWS) and min(map(min, accuracies.values())) > 0.2
assert seeds > 1 and kept["+ Adam"].mean() > kept["baseline"].mean()
print(f"Six rows on few images, and six with {seeds} seeds each on all of them.")
