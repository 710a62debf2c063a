"""Modules of one's own, followed by torch.fx, and graphs as modules; skipped without PyTorch."""

import re

import numpy as np
import pytest

from fastcnn import Graph, Sequential, exchange, models
from fastcnn.layers import (
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    Input,
    ReLU,
    Upsample,
)
from fastcnn.losses import CrossEntropyLoss

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
SHAPE = (3, 8, 8)
X = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)


class Tutorial(nn.Module):
    """A first network, as tutorials write it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
        self.fc1, self.fc2 = nn.Linear(16, 10), nn.Linear(10, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), (2, 1), ceil_mode=True)
        x = x.view(x.size(0), -1)
        return self.fc2(F.leaky_relu(self.fc1(x), 0.1))


class Block(nn.Module):
    """Of a ResNet, with a convolution in the way around where the size changes."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out),
            nn.ReLU(inplace=True), nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = stride == 1 and channels == out
        self.around = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x):
        y = self.way(x)
        y += self.around(x)
        return F.relu(y)


class Resnet(nn.Module):
    """Its end averages with a method."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 4, 1), Block(4, 4, 1), Block(4, 8, 2))
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.blocks(x).mean([2, 3]))


class Mobilenet(nn.Module):
    """An inverted residual with a depthwise convolution, called twice."""

    def __init__(self):
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
            nn.Conv2d(6, 6, 3, 1, 1, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
            nn.Conv2d(6, 3, 1, bias=False),
        )  # fmt: skip

    def forward(self, x):
        x = x + self.way(x)
        x = x + self.way(x)
        return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)


class Unet(nn.Module):
    """Down, up and across."""

    def __init__(self):
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 12, 2, stride=2)
        self.up, self.end = nn.ConvTranspose2d(12, 6, 2, stride=2), nn.Conv2d(24, 2, 1)

    def forward(self, x):
        wide = F.silu(self.down(x))
        deep = torch.sigmoid(self.deep(wide))
        other = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        joined = torch.cat([self.up(deep), wide, other], 1)
        return self.end(F.pad(joined, (1, 0, 0, 2), mode="replicate")).reshape(x.shape[0], -1)


KINDS = [Tutorial, Resnet, Mobilenet, Unet]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_of_a_step(kind) -> None:
    torch.manual_seed(0)
    module = kind()
    model = exchange.from_torch(module, SHAPE)
    assert isinstance(model, Sequential) == (kind is Tutorial)
    theirs = module.eval()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(model.forward(X), theirs, rtol=1e-4, atol=1e-5)

    labels = np.arange(4) % theirs.shape[1]
    module.train()
    F.cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(labels)).backward()
    loss = CrossEntropyLoss()
    loss.forward(model.forward(X, training=True), labels)
    model.backward(loss.backward())
    ours = {
        id(parameter): slot
        for layer, part in zip(model.layers, _parts(model, module), strict=True)
        for slot, parameter in _gradients(layer, part)
    }
    assert len(ours) == len(list(module.parameters()))
    for name, parameter in module.named_parameters():
        wanted = parameter.grad.numpy()
        got = ours[id(parameter)]
        assert abs(got - wanted).max() < 1e-3 * max(abs(wanted).max(), 1e-3), name


def _parts(model, module):
    """The module that each layer was made of: in the order in which they are called first."""
    kinds = {"Dense": "Linear", "BatchNorm": "BatchNorm2d"}
    waiting = list(dict.fromkeys(_called(module)))
    for layer in model.layers:
        if not layer.params:
            yield None
            continue
        kind = kinds.get(type(layer).__name__, type(layer).__name__.replace("2D", "2d"))
        assert type(waiting[0]).__name__ == kind
        yield waiting.pop(0)


def _called(module):
    found = []
    hooks = [
        part.register_forward_hook(lambda part, *_: found.append(part))
        for part in module.modules() if next(part.parameters(recurse=False), None) is not None
    ]  # fmt: skip
    module(torch.from_numpy(X))
    for hook in hooks:
        hook.remove()
    return found


def _gradients(layer, part):
    theirs = {"gamma": "weight", "beta": "bias"}
    for name, gradient in layer.grads.items():
        turned = gradient.T if isinstance(layer, Dense) and name == "weight" else gradient
        yield turned, getattr(part, theirs.get(name, name))


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_goes_out_again(kind) -> None:
    model = exchange.from_torch(kind(), SHAPE)
    module = exchange.to_torch(model)
    theirs = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(model.forward(X), theirs, rtol=1e-4, atol=1e-5)
    other = exchange.from_torch(kind(), SHAPE)
    assert exchange.load_state(other, module.state_dict()).how == "by name"
    np.testing.assert_array_equal(other.forward(X), model.forward(X))


@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_blocks_come_back_as_graphs(name: str) -> None:
    model = models.build(name)
    assert model.input_shape is not None
    x = np.random.default_rng(0).uniform(0, 1, (3, *model.input_shape)).astype(np.float32)
    graph = exchange.from_torch(exchange.to_torch(model), model.input_shape)
    assert isinstance(graph, Graph)
    np.testing.assert_allclose(
        graph.predict_logits(x), model.predict_logits(x), rtol=1e-4, atol=1e-4
    )


def test_several_inputs_and_outputs() -> None:
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x, z):
            y = self.conv(x) * self.conv(z)
            return y.contiguous().sigmoid(), y.flatten(1)

    module = Two()
    model = exchange.from_torch(module, (SHAPE, SHAPE))
    z = X[::-1].copy()
    for net in (module, exchange.to_torch(model)):
        theirs = net(torch.from_numpy(X), torch.from_numpy(z))
        for ours, wanted in zip(model.forward((X, z)), theirs, strict=True):
            np.testing.assert_allclose(ours, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"takes 2 inputs .x, z., so input_shape must be as many"):
        exchange.from_torch(module, SHAPE)


def test_dropout_follows_the_mode_and_trains() -> None:
    class Dropping(nn.Module):
        def forward(self, x):
            return F.dropout(F.dropout2d(x, 0.2, training=self.training), training=False).flatten(1)

    for module in (Dropping(), Dropping().eval()):
        model = exchange.from_torch(module, SHAPE)
        assert [type(layer).__name__ for layer in model.layers] == ["SpatialDropout", "Flatten"]
        assert isinstance(module.training, bool)


def _module(function):
    class Mine(nn.Module):
        def forward(self, x):
            return function(x)

    return Mine()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: 1 / x, "truediv (truediv): a number divided by a tensor has no counterpart"),
        (lambda x: x / x, "a tensor divided by another one has no counterpart"),
        (lambda x: x / 0, "it divides by 0"),
        (lambda x: x**3, "only the power of 2 has a counterpart, x * x"),
        (lambda x: torch.fft.fft(x), "fft_fft (fft_fft): from_torch knows no layer for it"),
        (lambda x: x[:2], "getitem (getitem): a part of the samples has no counterpart"),
        (lambda x: x[:, 3:], "slice(3, None, None) of 3 is nothing"),
        (lambda x: x[:, [0, 1]], "a part by [0, 1] has no counterpart; slices and numbers"),
        (lambda x: x.flatten(1)[:, 0], "it leaves no axis beside the samples; give a slice"),
        (lambda x: x.chunk(2), "the samples cannot be taken apart; give dim=1"),
        (lambda x: x.permute(0, 2, 3, 1), "permute (permute): dims (0, 2, 3, 1) have no count"),
        (lambda x: x.view(12, -1), "view (view): the shape (12, -1) does not begin with"),
        (lambda x: x.view(-1), "it would leave no axis beside the samples; leave it out"),
        (lambda x: x.view(-1, 3), "a sample of shape (3, 8, 8) has 192 numbers, which do not make"),
        (lambda x: x.view(x.size(0) * 3, -1), "arithmetic with the batch's size has no"),
        (lambda x: next(iter(x)), "the length of x is the batch's size, unknown here"),
        (lambda x: x.unsqueeze(0), "dim=0 puts an axis before the samples"),
        (lambda x: x.expand(-1, 6, -1, -1), "it cannot make ('N', 6, 8, 8) of ('N', 3, 8, 8)"),
        (lambda x: torch.cat([x, x], 2), "cat (cat): dim=2 has no counterpart, only 1"),
        (lambda x: x.mean(1), "mean (mean): dim=1 has no counterpart, only 2 and 3 of images, 2"),
        (lambda x: x.mean(1, dtype=torch.float64), "unexpected keyword argument 'dtype', which"),
        (lambda x: x.clamp(-1, 1), "from -1 to 1 it has no counterpart; ReLU is from 0"),
        (lambda x: F.layer_norm(x, (8,)), "no layer for it; put nn.GroupNorm(1, channels), which"),
        (lambda x: F.softmax(x), "softmax (softmax): Softmax(dim=None): dim=None is another axis"),
        (lambda x: F.max_pool2d(x, 9), "max_pool2d (max_pool2d): MaxPool2D(9): "),
        (lambda x: F.interpolate(x, 4, mode="bicubic"), "interpolate (interpolate): Upsample"),
        (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1), value=2), "value=2 have no counterpart: channels"),
        (lambda x: x if x.mean((2, 3)) > 0 else -x, "gt (gt): from_torch knows no layer for it"),
        (lambda x: x + torch.zeros(1), "tensor _tensor_constant0: it belongs to no module"),
        (lambda x: x + torch.ones(x.size(0)), "ones (ones): arithmetic with the batch's size"),
        (lambda x: x * torch.randn(3, 1, 1), "tensor _tensor_constant0: it belongs to no module"),
        (lambda x: x + x.mean((2, 3)), "Add(): its inputs must have one shape, got (1, 3, 8, 8)"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(function, said) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_torch(_module(function), SHAPE)


def test_axes_by_the_names_of_numpy() -> None:
    model = exchange.from_torch(
        _module(lambda x: torch.cat((x, x), axis=1).mean(axis=(2, 3), keepdims=True)), SHAPE
    )
    expected = np.concatenate([X, X], 1).mean((2, 3), keepdims=True)
    np.testing.assert_allclose(model.forward(X), expected, atol=1e-6)


def test_a_module_that_is_called_with_more_is_refused() -> None:
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 2, 3, 2, 1)

        def forward(self, x):
            return self.up(x, output_size=[16, 16])

    with pytest.raises(ValueError, match=r"module up: it is called with output_size=\[16, 16\]"):
        exchange.from_torch(Mine(), SHAPE)


def test_what_is_needed_is_asked_for() -> None:
    with pytest.raises(
        ValueError, match=r"Sequential is or has a module of one's own.*give a sample's"
    ):
        exchange.from_torch(nn.Sequential(_module(torch.relu)))
    assert exchange.from_torch(nn.Sequential(nn.ReLU()), SHAPE).input_shape == SHAPE


def test_a_shared_layer_with_two_paddings_is_refused() -> None:
    conv, x = Conv2D(1, 1, 3, 2, "same"), Input((1, 8, 8))
    small = Upsample(size=(7, 7))(conv(x))
    model = Graph(x, (conv(small), small))
    with pytest.raises(ValueError, match=r"one padding for all its calls|no uneven padding here"):
        exchange.to_torch(model)


def test_a_graph_of_ours_with_a_norm_where_branches_meet() -> None:
    x = Input(SHAPE)
    y = ReLU()(BatchNorm(4)(Conv2D(3, 4, 3, padding="same")(x)) + Conv2D(3, 4, 1)(x))
    model = Graph(x, Dense(256, 3)(Flatten()(y)))
    theirs = exchange.to_torch(model)(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(model.forward(X), theirs, rtol=1e-4, atol=1e-5)


class _Twice(nn.Sequential):
    """A row with a `forward` of its own."""

    def forward(self, x):
        return x + super().forward(x)


def _relu(x):
    return F.relu(x, inplace=True)


def _added(x):
    y = F.silu(x)
    z = y.clone()
    y += x
    return y * z


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(_Twice(nn.Conv2d(3, 3, 3, padding=1)), nn.ReLU()),
        _module(lambda x: (y := x + x) + F.silu(_relu(y))),
        _module(lambda x: (y := x + x) * F.relu(y, True) + y),
        _module(_added),
        _module(lambda x: (F.silu(y := F.relu(x)), y)),
        _module(lambda x: (y := F.relu(x), y)),
    ],
)
def test_what_is_written_in_place_and_who_has_a_forward(module) -> None:
    wanted = module.eval()(torch.from_numpy(X.copy()))
    got = exchange.from_torch(module, SHAPE).forward(X)
    assert isinstance(got, tuple) == isinstance(wanted, tuple)
    pairs = zip(got, wanted, strict=True) if isinstance(wanted, tuple) else [(got, wanted)]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_module_that_stands_twice_in_a_row_is_one_layer() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1).to(torch.bfloat16)
    row = nn.Sequential(conv, nn.ReLU(), conv)
    model = exchange.from_torch(row, SHAPE)
    assert [type(layer).__name__ for layer in model.layers] == ["Conv2D", "ReLU"]
    with pytest.raises(ValueError, match="called twice, or one whose"):
        exchange.from_torch(row)


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (_module(lambda x: _relu(x.flatten(1)) + x.flatten(1)), SHAPE, "view of it was changed"),
        (
            _module(lambda x: {"y": None}),
            SHAPE,
            "a tensor, or several in a row or a dict",
        ),
        (_module(lambda x: None), SHAPE, "several in a row or a dict, got NoneType"),
        (_module(F.relu), 4, "input_shape must be as (3, 32, 32), got 4"),
        ({}, SHAPE, "from_torch takes a torch.nn.Module, got dict"),
        (nn.InstanceNorm2d(3, track_running_stats=True), SHAPE, "track_running_stats=True has no"),
        (nn.Softplus(1.0, 5.0), SHAPE, "threshold=5.0 has no counterpart"),
    ],
)
def test_what_would_be_wrong_in_silence_is_refused(module, shape, said) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_torch(module, shape)


def test_a_row_with_an_output_in_between_goes_out_as_a_graph() -> None:
    x = Input(SHAPE)
    y = Conv2D(3, 2, 3)(x)
    model = Graph(x, (y, Upsample(2)(y)))
    found = exchange.to_torch(model)(torch.from_numpy(X))
    for ours, theirs in zip(model.forward(X), found, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


# --- names --------------------------------------------------------------------------------------


class Named(nn.Module):
    """Two inputs, and two outputs by name."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 1), nn.Linear(128, 3)

    def forward(self, image, other):
        y = self.conv(image) * self.conv(other)
        return {"digit": self.fc(y.flatten(1)), "map": y.sigmoid()}


def test_names_of_arguments_and_of_a_dict_are_kept(tmp_path) -> None:
    module = Named()
    model = exchange.from_torch(module, (SHAPE, SHAPE))
    assert isinstance(model, Graph) and model.output_names == ("digit", "map")
    given = {"other": X[::-1].copy(), "image": X}
    theirs = module(**{name: torch.from_numpy(x) for name, x in given.items()})
    for name, ours in zip(model.output_names, model.forward(given), strict=True):  # type: ignore[arg-type]
        np.testing.assert_allclose(ours, theirs[name].detach().numpy(), rtol=1e-5, atol=1e-6)
    pytest.importorskip("onnx")
    exchange.save_onnx(model, tmp_path / "m.onnx")
    assert exchange.load_onnx(tmp_path / "m.onnx").structure() == model.structure()


def test_names_may_be_given() -> None:
    names = {"input_names": ["left", "right"], "output_names": ("which", "where")}
    model = exchange.from_torch(Named(), (SHAPE, SHAPE), **names)
    assert model.output_names == ("which", "where")
    model.forward({"left": X, "right": X})  # type: ignore[arg-type]
    row = exchange.from_torch(nn.Sequential(nn.Flatten()), SHAPE, output_names=["flat"])
    assert isinstance(row, Graph) and row.structure()["output_names"] == ["flat"]
    # Words that cannot be names: the tuple it would have been.
    model = exchange.from_torch(_module(lambda x: {"a b": x.sigmoid(), "c": x.tanh()}), SHAPE)
    assert model.output_names == ("y0", "y1")
    assert isinstance(exchange.from_torch(_module(lambda x: {"y": x.tanh()}), SHAPE), Sequential)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"input_names": "left"}, "input_names must be a list of 2 different words, as there are"),
        ({"input_names": ["left"]}, "2 different words, as there are so many inputs, got ['left']"),
        ({"input_names": ["left", "left"]}, "got ['left', 'left']"),
        ({"output_names": 2}, "output_names must be a list of 2 different words"),
        ({"output_names": ["a b", "c"]}, "the name of an output must be a word such as 'digit'"),
        ({"output_names": [["a"], "c"]}, "output_names must be a list of 2 different words"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_torch(Named(), (SHAPE, SHAPE), **names)
    with pytest.raises(ValueError, match="a network with names is followed with symbols: give"):
        exchange.from_torch(nn.Sequential(nn.ReLU()), **names)


def test_a_graph_goes_there_and_back():
    x, z = Input(SHAPE), Input((4,))
    conv, dense = Conv2D(3, 3, 3, padding=1), Dense(4, 2)
    y = ReLU()(BatchNorm(3)(conv(conv(x))) + x)
    side = Dense(192, 2)(Flatten()(y * x)) + dense(z)
    model = Graph((x, z), (side, Concat()(dense(z), side)))
    module = exchange.to_torch(model)
    back = exchange.from_torch(module, (SHAPE, (4,)))
    given = X, np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    for found, expected in zip(back.forward(given), model.forward(given), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(back.layers) == len(model.layers)
    one = Graph(x, y)
    same = exchange.from_torch(exchange.to_torch(one), SHAPE)
    np.testing.assert_allclose(same.forward(X), one.forward(X), atol=1e-5)
