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
# # 7. 网络看到了什么
#
# 卷积核、特征图、显著图、Grad-CAM：问一个训练好的网络它在看哪里，有四种办法。
# 还有一种办法检验回答：把那里盖住，看网络在不在乎。
#
# **最后**，你有一个数字的这四种图，并且盖住 Grad-CAM 指的地方，比盖住别处伤害更大。

# %%
import numpy as np
from exercise_zh import check, solution

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
print(f"测试正确率 {accuracy:.1%}")

# %% [markdown]
# ## 卷积核
#
# 第一层用来乘图像的数。亮暗相邻：那个方向的边缘得到大的数。

# %%
plots.weight_tiles(model.layers[0].params["weight"], "the filters of the first layer")

# %% [markdown]
# ## 特征图
#
# 各层把一张图像变成什么：前面的还像原图，后面的说明在哪里找到了什么。

# %%
right = np.flatnonzero(model.predict(data.x_test) == data.y_test)
chosen = right[0]
image, label = data.x_test[chosen], data.y_test[chosen]
plots.feature_maps(model, image, f"a {data.class_names[label]}", most=8)

# %% [markdown]
# ## 显著图
#
# 一个类别的得分对*像素*的梯度：这个像素变一点，得分变多少？在得分的位置放 1，
# `backward` 就给出它（Simonyan、Vedaldi、Zisserman，“Deep Inside Convolutional Networks”，
# 2013）。


# %%
def run(images, classes):
    """得分、最后一个卷积的特征图、对它们和对像素的梯度。"""
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
# **练习。** 一张图像的梯度是 (C, H, W)。每个*像素*有多要紧，(H, W)？


# %%
def saliency(dx):
    return None  # 轮到你了


check(saliency)

# %% [markdown]
# ## Grad-CAM
#
# 最后一个卷积的特征图说明东西*在哪里*，对它们的梯度说明*什么支持这个类别*：
# 每张图的分量是它的梯度的平均值，反对的部分截掉（Selvaraju 等，“Grad-CAM”，2017）。
#
# **练习。** 由特征图 `maps` 和它们的梯度 `gradients`，都是（图数, H, W），做出一张图 (H, W)。


# %%
def grad_cam(maps, gradients):
    return None  # 轮到你了


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
# ## 是真的吗？
#
# 热图看上去总是很有道理。所以在有笔画的地方，盖住图上最热的一个方块，再盖住最冷的一个，
# 看这个类别的概率少了多少。

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
    """每个 SIDE x SIDE 方块的和。"""
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
print(f"真实类别的概率：{before:.1%}")
print(f"  盖住 Grad-CAM 最热的地方：{after_hot:.1%}")
print(f"  盖住最冷的地方：          {after_cold:.1%}")

# %% [markdown]
# 这个网络最后对每张特征图取平均，所以得分是各处之和，Grad-CAM 说的正是每一处加了多少。
# 若用 `Flatten()` 代替平均，再由全连接层给每张图的每一处各自的权重，一张图一个数就不够了：
# 换上试试，看最后一格还成不成立。

# %%
assert accuracy > 0.6
assert after_hot < after_cold < before
print("盖住 Grad-CAM 指的地方，比盖住别处伤害更大。")
