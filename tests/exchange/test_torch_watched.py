"""What of a `forward` does not hold at every call; skipped without PyTorch."""

import random
import re

import numpy as np
import pytest

from fastcnn import exchange

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
SHAPE, SERIES = (4, 8, 6), (4, 12)


class Net(nn.Module):
    """A function of itself and a tensor, with what it needs."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.made = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.made(self, x)


def _conv():
    return nn.Conv2d(4, 4, 1)


def _without_gradients(net, x):
    with torch.no_grad():
        return x + net.conv(x)


def _counted(net, x):
    net.count += 1
    return x * net.count


@torch.fx.wrap
def relu(x):
    """Of another kind than its name says."""
    return 3 * x


def _tied():
    first, second = _conv(), _conv()
    second.weight = nn.Parameter(first.weight.data.view(4, 4, 1, 1))
    return nn.Sequential(first, second)


def _with(mode, place, row):
    row.train(mode)
    row[place].train(not mode)
    return row


P = nn.Parameter(torch.ones(4, 1, 1))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Net(lambda n, x: 2 * x if n.training else x), "of Net is another one while self.train"),
        (Net(lambda n, x: x * (0.5 + random.random())), "changes the random numbers of Python at"),
        (Net(lambda n, x: -x if np.random.rand() < 0.5 else 2 * x), "numbers of NumPy"),  # noqa: NPY002
        (Net(lambda n, x: x * torch.rand(1).item()), "random numbers of PyTorch"),
        (Net(_counted, count=nn.Buffer(torch.ones(()))), "its forward changes count at each call"),
        (Net(_counted, count=1), "its forward changes count at each call"),
        (nn.Sequential(Net(_counted, count=1)), "its forward changes 0.count at each call"),
        (Net(lambda n, x: F.dropout(x)), "dropout (dropout): it drops in evaluation too"),
        (Net(lambda n, x: F.dropout2d(x, 0.1)).eval(), "give training=self.training"),
        (Net(_without_gradients, conv=_conv()), "module conv: it is computed without gradients"),
        (Net(lambda n, x: x * n.p * (1 + n.p.detach()), p=P), "detach (detach): from_torch does"),
        (Net(lambda n, x: n.c(x) * n.c.bias[:, None, None], c=_conv()), "also multiplies channel"),
        (Net(lambda n, x: relu(x)), "relu (relu): it is a function of tests.exchange.test_torch_w"),
        (Net(lambda n, x: x[:, True]), "a part by True has no counterpart"),
        (Net(lambda n, x: -x.expand(5, 4, 8, 6)), "the shape (5, 4, 8, 6) has no counterpart"),
        (Net(lambda n, x: F.pad(x, (0, 0, 0, 0, 1, -1))), "channels may be put on with zeros"),
        (Net(lambda n, x: -F.pad(x, (0,) * 6 + (1, 1))), "pad=(0, 0, 0, 0, 0, 0, 1, 1), mode="),
        (Net(lambda n, x: torch.cat([n.p, x], 1), p=P), "with an array of its own it has no"),
        (Net(lambda n, x: n.u(x), u=nn.Unflatten(1, (-1, 2))), "module u: of anything but vectors"),
        (_tied(), "0.weight and 1.weight are one parameter"),
        (
            _with(True, 1, nn.Sequential(_conv(), nn.BatchNorm2d(4))),
            "BatchNorm2d (1): it is in evaluation and the whole in training; call .train()",
        ),
        (
            _with(False, 0, nn.Sequential(nn.Dropout(0.5), _conv())),
            "Dropout (0): it is in training and the whole in evaluation",
        ),
        (nn.Sequential(nn.BatchNorm2d(4, momentum=None)), "momentum=None, the mean of all batches"),
        (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), "return_indices has no counterpart"),
        (Net(lambda n, x: n.n(x.flatten(1)), n=nn.LayerNorm(192, bias=False)), "it has no bias"),
    ],
)  # fmt: skip
def test_what_would_be_wrong_in_silence_is_refused(module, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_torch(module, SHAPE)
    assert all(isinstance(each.training, bool) for each in module.modules())


def _changed(change, other):
    def forward(net, x):
        y = F.silu(x)
        z = other(y)
        change(z)
        return y + z

    return Net(forward)


OTHERS = {
    "times 1": lambda y: y * 1,
    "plus 0": lambda y: y + 0,
    "part": lambda y: y[:, :],
    "contiguous": lambda y: y.contiguous(),
    "row of one": lambda y: torch.cat([y], 1),
    "padded by 0": lambda y: F.pad(y, (0, 0)),
    "dropped": lambda y: F.dropout(y, 0.5, False),
    "reshaped": lambda y: y.reshape(-1, 4, 8, 6),
}


@pytest.mark.parametrize("change", [torch.relu_, lambda z: z.mul_(2)])
@pytest.mark.parametrize("name", OTHERS)
def test_in_place_what_may_be_a_copy_or_not_is_not_used_again(name: str, change) -> None:
    with pytest.raises(ValueError, match="is used after a view of it was changed in place, or wh"):
        exchange.from_torch(_changed(change, OTHERS[name]), SHAPE)


def _by_operators(net, x):
    y = z = F.silu(x)
    z *= 2
    z -= x
    z /= 4
    return y + z


CASES = {
    "operators in place": (Net(_by_operators), SHAPE),
    "what is viewed is what it was": (
        Net(lambda n, x: (y := F.silu(x)).view(-1, 8, 4, 6).flatten(1) + (y * y).flatten(1)),
        SHAPE,
    ),
    "rooms in between": (
        Net(lambda n, x: (x.view(x.size(0), 2, 2, 8, 6).flatten(1, 2), n.c(x))[1], c=_conv()),
        SHAPE,
    ),
    "an Identity is what it is given": (
        Net(lambda n, x: (z := n.i(y := F.silu(x))).mul_(2) + y * z, i=nn.Identity()),
        SHAPE,
    ),
    "training only, in evaluation": (
        Net(lambda n, x: n.c(2 * x if n.training else x), c=_conv()).eval(),
        SHAPE,
    ),
    "channels of series": (Net(lambda n, x: F.pad(x, (1, 0, 2, 1))), SERIES),
    "no samples of series": (Net(lambda n, x: F.pad(x, (0, 2, 0, 1, 0, 0))), SERIES),
    "vectors": (Net(lambda n, x: F.pad(x, (2, 1))), (5,)),
    "by name": (Net(lambda n, x: torch.cat(tensors=[x, x], dim=-3)), SHAPE),
    "unflattened": (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (-1, 2))), SHAPE),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_same_for_any_number_of_samples(name: str) -> None:
    module, shape = CASES[name]
    model = exchange.from_torch(module, shape)
    for count in (1, 2, 5):
        x = np.random.default_rng(count).normal(size=(count, *shape)).astype(np.float32)
        given = torch.from_numpy(x.copy()).requires_grad_()
        wanted = module(given + 0)
        ours = model.forward(x, training=True)
        np.testing.assert_allclose(ours, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
        dy = np.cos(np.arange(ours.size)).reshape(ours.shape).astype(np.float32)
        wanted.backward(torch.from_numpy(dy))
        np.testing.assert_allclose(model.backward(dy), given.grad.numpy(), rtol=1e-3, atol=1e-4)
