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
# # 6. CIFAR-10，照 S3 的做法搜索
#
# S3 的作者为一个两层卷积的网络试了 27 种设置，留下验证正确率最高的，再试四种强度的 dropout。
# 这里用少量图像做同样的事。
#
# **最后**，一个网格搜索完毕并画了出来，最好的设置在从未参与选择的图像上测试了一次。

# %%
import numpy as np
from exercise_zh import check, solution

from fastcnn import datasets, models, plots
from fastcnn.optim import SGD
from fastcnn.schedules import ExponentialDecay

try:
    data = datasets.load("cifar10", offline=True)
except datasets.MissingDataError:
    data = datasets.load("digits")
    print("这里没有 CIFAR-10（`python -m fastcnn.train --dataset cifar10` 会下载）。")
data = data.limit(800, 500)
x_train, y_train = data.x_train[:600], data.y_train[:600]
x_val, y_val = data.x_train[600:], data.y_train[600:]
print(f"{data.source} 训练用 {len(x_train)} 张，选择用 {len(x_val)} 张。")
plots.given(data.x_train[:10], [data.class_names[label] for label in data.y_train[:10]])

# %% [markdown]
# ## 一种设置
#
# 给一种设置，得到一个训练好的网络和它的验证正确率。网络是 S3 的，卷积核少一些，并带动量，
# 作者没有用动量。


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
# ## 网格
#
# **练习。** 列出每个学习率与每个惩罚的组合，成对，惩罚在内层。


# %%
def grid(rates, penalties):
    return None  # 轮到你了


check(grid)

# %%
trials = []
for lr, weight_decay in solution("grid")([0.003, 0.01, 0.03], [0.001, 0.01]):
    accuracy = tried(lr, weight_decay)[1]
    trials.append(({"lr": lr, "weight_decay": weight_decay}, accuracy))
    print(f"lr {lr:<6} L2 {weight_decay:<6} {accuracy:6.1%}")
best = max(trials, key=lambda trial: trial[1])[0]
print("最好的：", best)

# %%
plots.search_grid(trials)

# %% [markdown]
# 注意 200 张图像能说明什么：一张就是 0.5%，偶然就能让这样的正确率上下变动三个百分点。
# 六个里最好的，真的排起来可能是第三。
#
# ## 再试 dropout，在最好的那一点上

# %%
dropouts = []
for dropout in (0.0, 0.3, 0.5):
    dropouts.append(({"dropout": dropout}, tried(**best, dropout=dropout)[1]))
plots.search_bars(dropouts)

# %% [markdown]
# ## 或者随机地试
#
# 设置多了，网格会浪费尝试：真正要紧的那个设置，它只反复试那几个值。
#
# **练习。** 随机试 `trials` 种设置，至少有一种落在所有设置中最好的 `share` 里的可能有多大？


# %%
def chance_of_a_good_trial(share, trials):
    return None  # 轮到你了


check(chance_of_a_good_trial)

# %%
chance = solution("chance_of_a_good_trial")
print(f"随机试 60 次，至少一次落在最好的 5% 里：{chance(0.05, 60):.0%}")

# %% [markdown]
# 这条命令在几个进程上做上面的一切，崩溃之后能接着做，并根据已有的结果提出下一个设置：
#
#     python -m fastcnn.search --model cifar-cnn --search lr=0.001..0.1 --search dropout=0..0.7
#
# ## 测试，只一次
#
# 许多验证正确率里最高的那个带点运气，所以偏高。测试图像直到现在才用。

# %%
dropout = max(dropouts, key=lambda trial: trial[1])[0]["dropout"]
model, validation = tried(**best, dropout=dropout, epochs=6)
loss, test = model.evaluate(data.x_test, data.y_test)
print(f"验证 {validation:.1%}，测试 {test:.1%}")
plots.confusion(data.y_test, model.predict(data.x_test), data.class_names)

# %%
guessing = np.bincount(data.y_test).max() / len(data.y_test)
assert len(trials) == 6 and len(dropouts) == 3
assert test > 1.5 * guessing
print(f"九种设置里最好的：正确率 {test:.1%}，乱猜是 {guessing:.1%}。")
