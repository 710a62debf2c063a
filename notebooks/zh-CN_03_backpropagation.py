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
# # 3. 反向传播，逐个数字核对
#
# `backward` 声称知道每个权重变一点时损失变多少。这是可以核对的：把权重变一点，看一看。
#
# **最后**，一个小网络的每个梯度都与差商比过，一个故意放进去的错误被找了出来，
# 网络里的一个数被拆开来看。

# %%
import numpy as np
from exercise_zh import check

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
# ## 链式法则，三个练习
#
# 一个层由 x 算出了 y；现在给它 dy，即损失对它的输出的梯度，它要给出 dx，损失对输入的梯度。
# 先是 ReLU，y = max(x, 0)：


# %%
def relu_gradient(x, dy):
    return None  # 轮到你了


check(relu_gradient)

# %% [markdown]
# 全连接层 y = x @ weight + bias 有三个梯度：返回 (dx, dweight, dbias)。


# %%
def dense_gradients(x, weight, dy):
    return None  # 轮到你了


check(dense_gradients)

# %% [markdown]
# 一维的卷积，y[p] = w[0] * x[p] + w[1] * x[p + 1] + ...，没有填充。返回 dx，它比 dy 长。


# %%
def conv_input_gradient(dy, w):
    return None  # 轮到你了


check(conv_input_gradient)

# %% [markdown]
# ## 网络里的每个数
#
# 损失是每个权重的函数。从两边量它的斜率，(L(w + h) - L(w - h)) / 2h：误差随 h 的平方变小，
# 直到舍入误差占上风。

# %%
criterion = CrossEntropyLoss()


def loss():
    return criterion.forward(model.forward(x, training=True), labels)


def measured(array, h=1e-5):
    """用差商量出损失对数组里每个数的梯度。"""
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
    print(f"{name:14} {gradient.size:4} 个数，最大的误差 {worst:.0e}")

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
# ## 步子多大？
#
# 太大，两点之间的曲线是弯的；太小，两个几乎相等的损失相减，有效数字所剩无几。在 float64 里，
# 最好的步长接近舍入误差的立方根。

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
# ## 一个故意的错误
#
# 写卷积的反向传播，常有人把卷积核多转一次，或者忘了转。损失照样下降，只是慢一些：除了差商，
# 谁也看不出来。


# %%
class Turned(Conv2D):
    """权重梯度里卷积核转了 180 度的卷积。"""

    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["weight"] = self.grads["weight"][:, :, ::-1, ::-1].copy()
        return dx


layers = (Turned(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3))
model = Sequential(*layers, seed=1).astype(np.float64)
loss()
model.backward(criterion.backward())
wrong = np.abs(model.layers[0].grads["weight"] - measured(model.layers[0].params["weight"])).max()
print(f"误差 {wrong:.2f}，找到了。`python -m fastcnn.check FILE` 这样检查你自己的层。")

# %% [markdown]
# ## 拆开一个数
#
# `explain` 说明网络里的一个数由什么得来、传回来的梯度是多少。取第一张图像经卷积后最大的那个数：
# 它能通过 ReLU，也会在池化窗口里胜出。

# %%
model = Sequential(
    Conv2D(2, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 3), seed=1
)
image = x[:1].astype(np.float32)
maps = model.layers[0].forward(image)[0]
number = explain(model, image, "conv1", at=np.unravel_index(maps.argmax(), maps.shape), label=0)
for term in number.terms:
    print(f"  {term.x:8.4f} * {term.slope:8.4f} = {term.product:8.4f}   来自 {term.at}")
print(f"  加上偏置 {number.constant:.4f} 得到 {number.value:.4f}")
print(f"这个数每增加 1，这张图像的损失变化 {number.gradient:.4f}")
for source in number.sources:
    print("代码位置", source)

# %%
most = max(np.abs(claim - found).max() for claim, found in pairs.values())
assert most < 1e-7 < 1e-3 < wrong
assert abs(number.total - number.value) < 1e-5
count = sum(claim.size for claim, _ in pairs.values())
print(f"{count} 个梯度都与差商一致，故意放进去的错误则不然。")
