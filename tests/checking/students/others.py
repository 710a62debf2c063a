"""Right layers, each in another style: layout, names, where gradients are, how they are called."""

import numpy as np

from fastcnn.layers import Layer


class ConvNHWC:
    """Channels last, weights (k, k, in, out), names of their own."""

    def __init__(self, num_filters, filter_size, input_channels, stride=1, pad=0):
        rng = np.random.default_rng(1)
        shape = (filter_size, filter_size, input_channels, num_filters)
        self.filters = rng.normal(size=shape)
        self.biases = np.zeros(num_filters)
        self.s, self.p = stride, pad

    def forward(self, inputs, training=False):
        p, k = self.p, len(self.filters)
        self.shape = inputs.shape
        wide = np.pad(inputs, ((0, 0), (p, p), (p, p), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(wide, (k, k), (1, 2))
        self.windows = windows[:, :: self.s, :: self.s]
        return np.einsum("nhwcij,ijco->nhwo", self.windows, self.filters) + self.biases

    def backward(self, grad_output):
        self.filters_grad = np.einsum("nhwcij,nhwo->ijco", self.windows, grad_output)
        self.biases_grad = grad_output.sum((0, 1, 2))
        n, h, w, c = self.shape
        p, s, k = self.p, self.s, len(self.filters)
        dx = np.zeros((n, h + 2 * p, w + 2 * p, c))
        parts = np.einsum("nhwo,ijco->nhwijc", grad_output, self.filters)
        for i, j in np.ndindex(*grad_output.shape[1:3]):
            dx[:, i * s : i * s + k, j * s : j * s + k] += parts[:, i, j]
        return dx[:, p : p + h, p : p + w]


class Affine:
    """Weights are given, and kept in lists; gradients are written into theirs."""

    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(0)
        return dout @ self.params[0].T


class Columns_Dense:
    """A sample is a column; backward takes the step itself."""

    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size)
        self.bias = np.zeros((output_size, 1))

    def forward(self, a):
        self.a = a
        return self.weights @ a + self.bias

    def backward(self, delta, learning_rate):
        before = self.weights.copy()
        self.weights -= learning_rate * delta @ self.a.T
        self.bias -= learning_rate * delta.sum(1, keepdims=True)
        return before.T @ delta


class Kept_Dense:
    """Nothing is returned: results are attributes."""

    def __init__(self, n_inputs, n_neurons):
        self.weights = np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs):
        self.inputs, self.output = inputs, inputs @ self.weights + self.biases

    def backward(self, dvalues):
        self.dweights, self.dbiases = self.inputs.T @ dvalues, dvalues.sum(0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T


class OneImageConv:
    """One grey image (H, W) to (H, W, filters); the step is taken, and no gradient by x."""

    def __init__(self, num_filters):
        self.filters = np.random.randn(num_filters, 3, 3)

    def forward(self, image):
        self.windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
        return np.einsum("hwij,oij->hwo", self.windows, self.filters)

    def backprop(self, d_out, learn_rate):
        self.filters = self.filters - learn_rate * np.einsum("hwij,hwo->oij", self.windows, d_out)


class AvgPool2D:
    def __init__(self, kernel_size=2, stride=None):
        self.k, self.stride = kernel_size, stride or kernel_size

    def __call__(self, x):
        self.shape = x.shape
        view = np.lib.stride_tricks.sliding_window_view(x, (self.k, self.k), (2, 3))
        return view[:, :, :: self.stride, :: self.stride].mean((-1, -2))

    def backward(self, dy):
        dx, k, s = np.zeros(self.shape), self.k, self.stride
        for i, j in np.ndindex(*dy.shape[2:]):
            dx[:, :, i * s : i * s + k, j * s : j * s + k] += dy[:, :, i, j, None, None] / k**2
        return dx


class BatchNorm2d:
    """In float32, with a flag, PyTorch's names and momentum."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.weight = np.ones(num_features, np.float32)
        self.bias = np.zeros(num_features, np.float32)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var, n = x.mean((0, 2, 3)), x.var((0, 2, 3)), x.size / x.shape[1]
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * var * n / (n - 1)
        self.std = np.sqrt(var + self.eps)[:, None, None]
        self.hat = (x - mean[:, None, None]) / self.std
        return self.weight[:, None, None] * self.hat + self.bias[:, None, None]

    def backward(self, dy):
        over = {"axis": (0, 2, 3), "keepdims": True}
        self.weight_grad, self.bias_grad = (dy * self.hat).sum((0, 2, 3)), dy.sum((0, 2, 3))
        d = dy * self.weight[:, None, None]
        return (d - d.mean(**over) - self.hat * (d * self.hat).mean(**over)) / self.std


class Scale(Layer):
    """With fastcnn's base class."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def arguments(self):
        return {"channels": self.channels}

    def parameter_shapes(self):
        return {"weight": (self.channels,)}

    def initial_values(self, generator):
        return {"weight": np.ones(self.channels)}

    def forward(self, x, training=False):
        self.check_input(x)
        y = self.params["weight"].reshape(-1, *[1] * (x.ndim - 2)) * x
        if training:
            self.remember(y, x)
        return y

    def backward(self, dy):
        (x,) = self.recall(dy)
        self.grads["weight"] = (dy * x).sum((0, *range(2, x.ndim)))
        return self.params["weight"].reshape(-1, *[1] * (x.ndim - 2)) * dy


class TanH:
    """The caller multiplies with what `gradient` gives."""

    def __call__(self, x):
        return np.tanh(x)

    def gradient(self, x):
        return 1 - self(x) ** 2


class MSE:
    """Targets first."""

    def loss(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean()

    def prime(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_true.size


class CategoricalCrossentropy:
    """One number for each sample, probabilities and one-hot rows."""

    def forward(self, y_pred, y_true):
        return -np.log((y_pred * y_true).sum(1) + 1e-12)

    def backward(self, dvalues, y_true):
        self.dinputs = -y_true / dvalues / len(dvalues)


def conv_forward(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    wide = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, w.shape[2:], (2, 3))[:, :, ::s, ::s]
    y = np.einsum("nchwij,ocij->nohw", windows, w) + b[:, None, None]
    return y, (x, w, windows, s, p)


def conv_backward(dout, cache):
    x, w, windows, s, p = cache
    dw = np.einsum("nchwij,nohw->ocij", windows, dout)
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
    for i, j in np.ndindex(*dout.shape[2:]):
        at = dx[:, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]]
        at += np.tensordot(dout[:, :, i, j], w, 1)
    return dx[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw, dout.sum((0, 2, 3))
