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
# # 4. 消融实验：哪种技术起什么作用？
#
# S1 是 fastcnn 复现的五个系统之一。作者在一个小网络上一样一样地加技术：Adam、BatchNorm、Dropout、
# L2 惩罚、学习率调度与早停，每加一样就记下测试正确率。每次都升高。
#
# **最后**，你会用少量图像做出他的表，看到每行只跑一次说明不了什么，
# 并从全部图像上的许多次运行里读出哪几步是真的。

# %%
from pathlib import Path

import numpy as np
from exercise_zh import check, solution

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
# ## 少量图像
#
# 每一行是：网络怎样搭、用什么优化器、训练时还有什么。

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
# Dropout *抬高*了训练损失：测量时有一半单元不在。而且只走这么几步，差别小的几行谁先谁后都有可能：
# 看那两列。
#
# **练习。** 一个差别有多可靠？两行用了同样的种子。返回成对差的平均值和它的标准误差。


# %%
def paired_difference(before, after):
    return None  # 轮到你了


check(paired_difference)

# %% [markdown]
# ## 全部图像，许多种子
#
# 在全部 MNIST 上，每行每个种子要训练几分钟。本项目已经做了，
# 每次运行测得的结果保存在一个文本文件里；`python -m fastcnn.reproduce S1.2` 用它做出表格。

# %%
runs = Path("docs/reproduction/runs.jsonl")
records = Records(runs if runs.exists() else Path("..") / runs)
kept = {}
for name, experiment in ABLATION:
    settings = resolved(configure(experiment.settings()))
    found = [records.find(replace(settings, {"seed": seed})) for seed in range(42, 72)]
    kept[name] = np.array([100 * run.result["test_accuracy"] for run in found if run])

seeds = min(map(len, kept.values()))
print(f"每行 {seeds} 个种子\n{'':32}  正确率       这一步，百分点（real：差别是真的）")
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
# 一步的差别若小于这些点的散布，换一个种子就可能反过来。
# `python -m fastcnn.compare A.toml B.toml --until-decided` 会不断增加种子，直到分出高下，
# 或排除这样的差别。
#
# **练习。** L2 惩罚在损失上加 `weight_decay / 2 * sum(w * w)`。一步普通的梯度下降变成什么？
# 返回新的 w。


# %%
def step_with_l2(w, lr, weight_decay, gradient):
    return None  # 轮到你了


check(step_with_l2)

# %%
assert list(accuracies) == list(ROWS) and min(map(min, accuracies.values())) > 0.2
assert seeds > 1 and kept["+ Adam"].mean() > kept["baseline"].mean()
print(f"少量图像上的六行；全部图像上的六行，每行 {seeds} 个种子。")
