"""PyTorch's modules and ours compute the same, both ways; skipped where PyTorch is absent."""

import re

import numpy as np
import pytest

from fastcnn import Sequential, exchange, models
from fastcnn.layers import (
    ELU,
    GELU,
    AdaptiveMaxPool2D,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Mish,
    Pad,
    PixelShuffle,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout,
    Tanh,
    Upsample,
)

torch = pytest.importorskip("torch")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune")
X = np.random.default_rng(0).normal(size=(3, 4, 9, 8)).astype(np.float32)

ROWS: list[list[Layer]] = [
    [Conv2D(4, 8, 3, 2, 1), InstanceNorm(8), PReLU(8), MaxPool2D(3, 2, 1, 1, True), Flatten()],
    [Conv2D(4, 8, (1, 3), padding="same", bias=False), GroupNorm(2, 8), GELU("tanh"), Flatten()],
    [BatchNorm(4), SiLU(), PixelShuffle(2), AveragePool2D(2, 3, 1, False, True), Softmax()],
    [Pad(((1, 2), (0, 3)), "reflect"), Upsample(2, mode="bilinear"), AdaptiveMaxPool2D((3, None))],
    [Pad(1, "replicate"), Pad(1), Pad(1, "constant", 2.0), Upsample(size=(5, 6)), LayerNorm(4)],
    [Reshape((4, 72)), MaxPool1D(3, 2, 1), Mish(), AveragePool1D(2), Reshape((2, 2, -1))],
    [
        Reshape((4, -1)),
        BatchNorm(4),
        Conv1D(4, 6, 5),
        InstanceNorm(6),
        GroupNorm(2, 6),
        Tanh(),
        GlobalAveragePool1D(),
    ],
    [Reshape((4, -1)), Conv1D(4, 6, 5), BatchNorm(6), ReLU(), GlobalMaxPool1D()],
    [GlobalMaxPool2D(), Dense(4, 6), BatchNorm(6), ELU(0.5), Dropout(0.5), LogSoftmax(-1)],
    [SpatialDropout(0.5), LeakyReLU(0.2), Softplus(2.0), MaxPool2D(2, dilation=2)],
    [ConvTranspose2D(4, 6, (2, 3), 2, (1, 0), (0, 1), groups=2), ConvTranspose2D(6, 2, 2)],
    [Conv2D(4, 6, (3, 1), 2, "same", dilation=2), MaxPool2D(3, 1, "same")],
    [
        Reshape((4, -1)),
        Conv1D(4, 6, 5, 2, 3),
        Conv1D(6, 4, 3, padding="same", dilation=2, groups=2),
    ],
]


def trained(row: list[Layer]) -> Sequential:
    """The row, with other numbers than those that it starts with."""
    model = Sequential(*row, input_shape=X.shape[1:])
    rng = np.random.default_rng(1)
    for name, array in model.named_arrays():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "weight" not in name else array
    return model


@pytest.mark.parametrize(
    "row",
    [
        [Dense(4, 3), BatchNorm(3), ReLU()],
        [BatchNorm(4), Tanh(), Dropout(0.5), Dense(4, 2)],
        [Dense(4, 3), ReLU(), Residual([BatchNorm(3), ReLU()])],
        [Residual([Dense(4, 4), BatchNorm(4)]), LayerNorm(4), BatchNorm(4)],
        [Reshape((2, 2, 1)), BatchNorm(2), Flatten(), BatchNorm(4), Dense(4, 2)],
    ],
    ids=str,
)
def test_norms_of_vectors_where_no_shape_is_known(row: list[Layer]) -> None:
    model = Sequential(*row)
    x = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
    found = exchange.to_torch(model)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, model.forward(x), atol=1e-5)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].name)
def test_there_and_back(row: list[Layer]) -> None:
    model = trained(row)
    expected = model.forward(X)
    module = exchange.to_torch(model)
    theirs = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(theirs, expected, rtol=1e-4, atol=1e-5)
    by_shape = isinstance(row[-1], GlobalAveragePool1D | GlobalMaxPool1D)
    again = exchange.from_torch(module, X.shape[1:] if by_shape else None)
    np.testing.assert_allclose(again.forward(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["lenet5", "mnist-optimized", "resnet20", "densenet", "mobilenet-small"]
)
def test_the_named_networks(name: str) -> None:
    model = models.build(name)
    assert model.input_shape is not None
    x = np.random.default_rng(0).uniform(0, 1, (4, *model.input_shape)).astype(np.float32)
    expected = model.predict_logits(x)
    theirs = exchange.to_torch(model)(torch.from_numpy(x)).detach().numpy()
    assert abs(theirs - expected).max() < 1e-5 * max(1, abs(expected).max())


def test_a_state_dict_comes_by_name_and_trains_on() -> None:
    model, other = trained(ROWS[0][:-1]), trained(ROWS[0][:-1])
    for _, array in other.named_arrays():
        array[...] = 0
    matched = exchange.load_state(other, exchange.to_torch(model).state_dict())
    assert matched.how == "by name"
    np.testing.assert_array_equal(other.forward(X), model.forward(X))


def test_what_has_no_counterpart_is_named() -> None:
    mistakes = [
        (nn.Sequential(nn.LSTM(2, 3)), "no layer for LSTM; put convolutions, as there"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), "padding_mode="),
        (nn.Sequential(nn.Bilinear(2, 3, 4)), "from_torch knows no layer for Bilinear; known are"),
        (nn.Sequential(nn.LayerNorm(4)), "one whose layer depends on what it is given"),
        (nn.Sequential(nn.ZeroPad1d(1), nn.Conv1d(1, 2, 3)), "such as input_shape=(3, 32, 32)"),
        (nn.Sequential(nn.Flatten(2)), "start_dim=2 has no counterpart, only 1"),
        (nn.Sequential(nn.BatchNorm2d(3, affine=False)), "affine=False has no counterpart"),
        (nn.Sequential(nn.Conv1d(4, 2, 1), nn.Softmax()), "dim=None is another axis for series"),
        (nn.Sequential(nn.Sequential(), nn.Identity()), "from_torch: Sequential has no layers"),
    ]
    for module, message in mistakes:
        with pytest.raises(ValueError, match=re.escape(message)):
            exchange.from_torch(module)
    ours = [
        (Sequential(MaxPool2D(3, padding="same")), "PyTorch has no padding='same' with a stride"),
        (Sequential(Conv2D(1, 1, 3, 2, "same")), "PyTorch has no padding='same' with a stride"),
        (Sequential(MaxPool2D(2, padding=((0, 1), (0, 0)))), "has no uneven padding here; put a"),
        (Sequential(AveragePool2D(2, dilation=2)), "PyTorch has no dilation of average pools"),
        (Sequential(type("Mine", (Mish,), {})()), "Mine(): to_torch knows no module of PyTorch"),
    ]
    for model, message in ours:
        with pytest.raises(ValueError, match=re.escape(message)):
            exchange.to_torch(model)


def test_a_module_of_modules_is_taken_apart() -> None:
    module = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Identity()), nn.Linear(288, 3)).eval()
    model = exchange.from_torch(module)
    assert [type(layer) for layer in model.layers] == [Flatten, Dense]
    theirs = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(model.forward(X), theirs, rtol=1e-4, atol=1e-5)


def _hooked(how: str) -> nn.Module:
    conv = nn.Conv2d(2, 4, 3)
    row = nn.Sequential(conv, nn.Flatten(), nn.Linear(64, 3))
    if how == "hook":
        conv.register_forward_hook(lambda module, given, y: 2 * y)
    elif how == "pre-hook":
        row.register_forward_pre_hook(lambda module, given: (2 * given[0],))
    elif how == "weight norm":
        nn.utils.weight_norm(conv)
    elif how == "pruning":
        prune.l1_unstructured(conv, "weight", 0.5)
    else:
        conv.forward = lambda x: 2 * nn.Conv2d.forward(conv, x)  # type: ignore[method-assign]
    return row


@pytest.mark.parametrize("how", ["hook", "pre-hook", "weight norm", "pruning", "forward"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_what_changes_answers_beside_a_class_is_refused(how: str) -> None:
    row = _hooked(how)
    name = "Sequential" if how == "pre-hook" else r"Conv2d \(0\)"
    words = "another forward" if how == "forward" else "has a hook"
    for shape in (None, (2, 6, 6)):
        with pytest.raises(ValueError, match=f"from_torch, {name}: it has .*{words[4:]}"):
            exchange.from_torch(row, shape)
    if how == "pruning":
        prune.remove(row[0], "weight")
        x = np.ones((2, 2, 6, 6), np.float32)
        theirs = row(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(exchange.from_torch(row).forward(x), theirs, rtol=1e-4)


def tied() -> nn.Module:
    first, last = nn.Linear(4, 4), nn.Linear(4, 4)
    last.weight = first.weight
    return nn.Sequential(first, nn.Sequential(nn.ReLU(), last))


def half_frozen() -> nn.Module:
    row = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    row[0].bias.requires_grad_(False)
    return row


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (tied(), "0.weight and 1.1.weight are one parameter"),
        (half_frozen(), "some of its parameters are frozen"),
    ],
)
@pytest.mark.parametrize("names", [None, ["features"]], ids=["row", "followed"])
def test_what_would_learn_otherwise_is_refused(module, said: str, names) -> None:
    with pytest.raises(ValueError, match=said):
        exchange.from_torch(module, (4,), input_names=names)


def test_what_is_frozen_stays_so_there_and_back() -> None:
    """A norm without scale and shift is one that has them frozen."""
    module = nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6, affine=False), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.InstanceNorm2d(4), nn.Flatten(), nn.Linear(4 * 3 * 3, 2),
    )  # fmt: skip
    module[2].requires_grad_(False)
    model = exchange.from_torch(module)
    assert model.frozen == ("1", "2", "4")
    x = np.random.default_rng(0).normal(size=(5, 4, 7, 7)).astype(np.float32)
    dy = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    module(torch.from_numpy(x)).backward(torch.from_numpy(dy))
    model.forward(x, training=True)
    model.backward(dy)
    for place in (0, 6):
        theirs = module[place].weight.grad.numpy()
        ours = model.layers[place].grads["weight"]
        np.testing.assert_allclose(ours, theirs if place == 0 else theirs.T, rtol=1e-3, atol=1e-5)
    before = {name: array.copy() for name, array in model.named_arrays()}
    model.train(x, np.arange(5) % 2, epochs=1)
    changed = {n.split(".")[0] for n, array in model.named_arrays() if (array != before[n]).any()}
    assert changed == {"0", "6"}
    again = exchange.to_torch(model)
    learns = [all(p.requires_grad for p in each.parameters()) for each in again]
    assert learns == [True, False, False, True, False, True, True]


@pytest.mark.parametrize("shape", [(4.5,), ("4",), (0,)])
def test_shapes_are_whole_numbers(shape) -> None:
    with pytest.raises(ValueError, match="input_shape must be a whole number above 0"):
        exchange.from_torch(nn.Sequential(nn.Linear(4, 2)), shape)
