"""What networks of PyTorch do between their layers, each in one step; skipped without PyTorch."""

import re

import numpy as np
import pytest

from fastcnn import exchange

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
IMAGES, SERIES = (4, 9, 8), (4, 12)


class Net(nn.Module):
    """Modules by name, and what is made of them."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.made = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.made(self, x)


def _conv(inputs=4, outputs=4, size=3, **more):
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **more)


def _squeezed(net, x):
    y = net.conv(x)
    s = net.up(F.relu(net.down(F.adaptive_avg_pool2d(y, 1)))).sigmoid()
    return s * y


def _squeezed_by_vectors(net, x):
    b, c, _, _ = x.size()
    s = net.fc(x.mean((2, 3)).view(b, c)).view(b, c, 1, 1)
    return x * s.expand_as(x) + net.fc(x.amax((2, 3)))[:, :, None, None]


def _shuffled(net, x):
    first, second = x.chunk(2, dim=1)
    y = torch.cat((first, net.conv(second)), 1)
    b, c, h, w = y.size()
    return y.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


def _padded_shortcut(net, x):
    y = net.conv(x)
    return F.relu(y.add_(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))))


def _cropped(net, x):
    y = net.conv(x)
    dy, dx = (x.shape[2] - y.shape[2]) // 2, (x.shape[3] - y.shape[3]) // 2
    y = torch.cat([x[:, :, dy : dy + y.shape[2], dx : dx + y.shape[3]], y], 1)
    return torch.cat([y[..., 1:, :-2], F.pad(y, (-1, -1, -1, 0))], 1)


def _looped(net, x):
    count = 1
    for size in x.size()[1:]:
        count *= size
    if x.shape[1] == 4 and len(x.chunk(2, 1)) == 2:
        x = sum(part for part in [net.conv(x), *(x.split([4], dim=1))])
    return net.fc(x.view(-1, count))


def _numbers(net, x):
    y = net.conv((x - net.mean) / net.std)
    y = 0.5 * y + x / 4 - 1
    t = torch.sigmoid(y)
    return (1 - t) * x + t * (-y) + torch.abs(y - x) + (y**2).mul_(0.1)


def _maxout(net, x):
    y = torch.maximum(net.a(x), net.b(x))
    y = torch.min(y, y.mean((2, 3), keepdim=True))
    return y.max(x) if y.shape == x.shape and y.size()[2:] == x.size()[2:] else y


SCALE = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 3.0]).view(4, 1, 1))
CASES = {
    "squeeze and excitation": (
        Net(_squeezed, conv=_conv(), down=_conv(4, 2, 1), up=_conv(2, 4, 1)),
        IMAGES,
    ),
    "of vectors": (Net(_squeezed_by_vectors, fc=nn.Linear(4, 4)), IMAGES),
    "attention of places": (Net(lambda n, x: x * n.c(x).sigmoid(), c=_conv(4, 1)), IMAGES),
    "attention of rows": (Net(lambda n, x: x * n.c(x.mean(3, keepdim=True)), c=_conv()), IMAGES),
    "channel shuffle": (Net(_shuffled, conv=_conv(2, 2)), IMAGES),
    "shuffle module": (Net(lambda n, x: n.c(n.s(x)), s=nn.ChannelShuffle(2), c=_conv()), IMAGES),
    "padded shortcut": (Net(_padded_shortcut, conv=_conv(4, 8, stride=2)), IMAGES),
    "cropped": (Net(_cropped, conv=nn.Conv2d(4, 3, 4)), IMAGES),
    "loop over sizes": (Net(_looped, conv=_conv(), fc=nn.Linear(288, 3)), IMAGES),
    "numbers": (
        Net(_numbers, conv=_conv(), mean=nn.Buffer(torch.arange(4.0).view(1, 4, 1, 1)),
            std=nn.Parameter(torch.full((1, 4, 1, 1), 2.0), requires_grad=False)),
        IMAGES,
    ),
    "layer scale": (
        Net(lambda n, x: x + n.scale * n.c(n.scale * x), scale=SCALE, c=_conv()),
        IMAGES,
    ),
    "layer scale of a row": (
        Net(lambda n, x: x + n.scale[None, :, None, None] * n.c(x), c=_conv(),
            scale=nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 3.0]))),
        IMAGES,
    ),
    "rows, then columns": (
        Net(lambda n, x: n.fc(x.mean(3).mean(2, keepdim=True).squeeze(2)), fc=nn.Linear(4, 3)),
        IMAGES,
    ),
    "in place at the end": (
        Net(lambda n, x: F.adaptive_avg_pool2d(n.c(x).relu_(), 1).squeeze_(-1).squeeze_(-1),
            c=_conv()),
        IMAGES,
    ),
    "the largest of two": (Net(_maxout, a=_conv(), b=_conv()), IMAGES),
    "the smallest of two series": (
        Net(lambda n, x: torch.minimum(n.a(x), x)[:, :, 0].minimum(n.fc(x[:, :, 1])),
            a=nn.Conv1d(4, 4, 3, padding=1), fc=nn.Linear(4, 4)),
        SERIES,
    ),
    "norm of vectors": (
        Net(lambda n, x: n.n(n.fc(x.flatten(1))), fc=nn.Linear(288, 5), n=nn.LayerNorm(5)),
        IMAGES,
    ),
    "series": (
        nn.Sequential(nn.ConstantPad1d((3, 0), 1.5), nn.Conv1d(4, 6, 4, bias=False),
                      nn.BatchNorm1d(6), nn.Hardtanh(0, 6), nn.AdaptiveAvgPool1d(1),
                      nn.Flatten(), nn.Linear(6, 3)),
        SERIES,
    ),
    "causal series": (
        Net(lambda n, x: n.c(F.pad(x, (4, 0)))[:, :, :-1].clamp(min=0)[:, :, -1],
            c=nn.Conv1d(4, 3, 3, dilation=2)),
        SERIES,
    ),
    "gated series": (
        Net(lambda n, x: x * n.fc(x.mean(-1)).unsqueeze(-1), fc=nn.Linear(4, 4)),
        SERIES,
    ),
    "attention of channels": (
        Net(lambda n, x: x * n.c(F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2))
            .transpose(-1, -2).unsqueeze(-1), c=nn.Conv1d(1, 1, 3, padding=1)),
        IMAGES,
    ),
}  # fmt: skip


def _samples(shape):
    return np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_of_a_step(name: str) -> None:
    module, shape = CASES[name]
    model, x = exchange.from_torch(module, shape), _samples(shape)
    wanted = module.eval()(torch.from_numpy(x.copy())).detach().numpy()
    np.testing.assert_allclose(model.forward(x), wanted, rtol=1e-4, atol=1e-5)

    given, dy = torch.from_numpy(x.copy()).requires_grad_(), np.cos(np.arange(wanted.size))
    dy = dy.reshape(wanted.shape).astype(np.float32)
    module.train()(given + 0).backward(torch.from_numpy(dy))
    model.forward(x, training=True)
    dx = model.backward(dy)
    np.testing.assert_allclose(dx, given.grad.numpy(), rtol=1e-3, atol=1e-4)
    ours = [(layer.params[k], layer.grads[k]) for layer in model.layers if layer.trainable
            for k in layer.params]  # fmt: skip
    theirs = [each for each in module.parameters() if each.requires_grad]
    assert len(ours) == len(theirs)
    for parameter in theirs:
        values = parameter.detach().numpy()
        found = [(a, g) for a, g in ours if a.size == values.size
                 and {a.tobytes(), a.T.tobytes()} & {values.tobytes()}]  # fmt: skip
        assert len(found) == 1
        array, gradient = found[0]
        turned = gradient.T if array.tobytes() != values.tobytes() else gradient
        expected = parameter.grad.numpy()
        got = turned.reshape(expected.shape)
        assert abs(got - expected).max() < 1e-3 * max(abs(expected).max(), 1e-2)
        parameter.grad = None


@pytest.mark.parametrize("name", CASES)
def test_what_came_goes_out_again(name: str, tmp_path) -> None:
    module, shape = CASES[name]
    model, x = exchange.from_torch(module.eval(), shape), _samples(shape)
    wanted = model.forward(x)
    back = exchange.to_torch(model)
    np.testing.assert_allclose(back(torch.from_numpy(x)).detach().numpy(), wanted, atol=1e-4)
    again = exchange.from_torch(back, shape)
    np.testing.assert_allclose(again.forward(x), wanted, atol=1e-4)
    pytest.importorskip("safetensors")
    exchange.save_safetensors(model, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        exchange.load_safetensors(tmp_path / "m.safetensors").forward(x), wanted
    )
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    exchange.save_onnx(model, tmp_path / "m.onnx")
    (found,) = runtime.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"input": x})
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        exchange.load_onnx(tmp_path / "m.onnx").forward(x), wanted, rtol=1e-4, atol=1e-4
    )


def test_what_numbers_are_chosen_of_stays_frozen() -> None:
    module, shape = CASES["channel shuffle"]
    frozen = [layer for layer in exchange.from_torch(module, shape).layers if not layer.trainable]
    assert len(frozen) == 3  # two halves and the shuffle


def _views(x):
    first, second = x.chunk(2, 1)
    F.relu(first, inplace=True)
    return first + second + x[:, :2]


P = nn.Parameter(torch.ones(4, 1, 1))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Net(lambda n, x: _views(x)), "is used after a view of it was changed in place"),
        (Net(lambda n, x: x.transpose(2, 3).relu_() + x), "have no counterpart"),
        (Net(lambda n, x: x + n.p, p=P), "what multiplies each channel of images or series"),
        (Net(lambda n, x: x * n.p, p=nn.Parameter(torch.ones(1))), "and nothing else; put it into"),
        (Net(lambda n, x: x * n.p.sigmoid(), p=P), "from_torch does not compute it; keep its res"),
        (Net(lambda n, x: x * (n.p * 2), p=P), "what multiplies each channel"),
        (Net(lambda n, x: x * n.p, p=nn.Buffer(torch.ones(4, 9, 8))), "with an array of shape (4"),
        (Net(lambda n, x: x.mean((2, 3)).squeeze()), "the samples' axis too, where there is one"),
        (Net(lambda n, x: torch.max(x, 1)[0]), "of anything but two results of layers"),
        (Net(lambda n, x: torch.minimum(x, n.p), p=P), "of anything but two results of layers"),
        (nn.Sequential(nn.LayerNorm(8)), "('N', 4, 9, 8), it has no counterpart; nn.GroupNorm(1"),
        (nn.Sequential(nn.LocalResponseNorm(3)), "knows no layer for LocalResponseNorm; put nn.B"),
        (nn.Sequential(nn.Hardtanh()), "min_val=-1.0 has no counterpart, only 0"),
    ],
)
def test_what_would_be_wrong_is_refused(module, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_torch(module, IMAGES)
