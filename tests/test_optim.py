"""Optimizers step by step against NumPy and, where it is installed, PyTorch."""

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import Sequential, optim
from fastcnn.layers import BatchNorm, Dense, Layer, ReLU, Residual
from fastcnn.optim import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Lookahead,
    Optimizer,
    RAdam,
    Ranger,
    RMSprop,
)
from kernels import optim as kernels

STEPS = 7

CASES: dict[str, tuple[Callable[[], Optimizer], str, dict[str, Any]]] = {
    "sgd": (lambda: SGD(0.1), "SGD", {"lr": 0.1}),
    "sgd decay": (
        lambda: SGD(0.1, weight_decay=0.1), "SGD", {"lr": 0.1, "weight_decay": 0.1},
    ),
    "momentum": (lambda: SGD(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (
        lambda: SGD(0.1, 0.8, nesterov=True, weight_decay=0.02), "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02},
    ),
    "adam": (lambda: Adam(), "Adam", {}),
    "adam decay": (
        lambda: Adam(0.02, (0.8, 0.99), 1e-6, 0.1), "Adam",
        {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1},
    ),
    "adamw": (lambda: AdamW(0.02), "AdamW", {"lr": 0.02}),
    # Of 7 steps with the usual betas the last two are rectified; with these all but the first 5.
    "radam": (lambda: RAdam(), "RAdam", {}),
    "radam decay": (
        lambda: RAdam(0.02, (0.8, 0.97), 1e-3, 0.1), "RAdam",
        {"lr": 0.02, "betas": (0.8, 0.97), "eps": 1e-3, "weight_decay": 0.1},
    ),
    "radam decoupled": (
        lambda: RAdam(0.02, weight_decay=0.1, decoupled_weight_decay=True), "RAdam",
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "radam never rectified": (
        lambda: RAdam(betas=(0.9, 0.5)), "RAdam", {"betas": (0.9, 0.5)},
    ),
    "rmsprop": (lambda: RMSprop(), "RMSprop", {}),
    "rmsprop momentum": (
        lambda: RMSprop(0.02, 0.9, momentum=0.7, weight_decay=0.1), "RMSprop",
        {"lr": 0.02, "alpha": 0.9, "momentum": 0.7, "weight_decay": 0.1},
    ),
    "adagrad": (
        lambda: AdaGrad(0.05, weight_decay=0.1), "Adagrad", {"lr": 0.05, "weight_decay": 0.1},
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)

# In three steps of six the slow weights have been visited, and left again.
MAKERS: dict[str, Callable[[], Optimizer]] = {
    **{name: case[0] for name, case in CASES.items()},
    "lookahead": lambda: Lookahead(SGD(0.1, 0.9), k=2),
    "ranger": lambda: Ranger(0.1, weight_decay=0.1, k=2),
}
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def model(dtype: Any = np.float64) -> Sequential:
    return Sequential(Dense(5, 7), BatchNorm(7), ReLU(), Dense(7, 3)).astype(dtype)


def graded(dtype: Any = np.float64) -> Sequential:
    """One that has gradients."""
    net = model(dtype)
    net.backward(np.ones_like(net.forward(np.eye(5, dtype=dtype), training=True)))
    return net


def gradients(arrays: dict[str, np.ndarray], steps: int = STEPS) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{n: rng.normal(size=a.shape) for n, a in arrays.items()} for _ in range(steps)]


def trained(optimizer: Optimizer, model: Sequential, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Parameters by name after steps with the gradients of `gradients`."""
    layers = {str(i): layer for i, layer in enumerate(model.layers)}
    params = {f"{i}.{n}": a for i, layer in layers.items() for n, a in layer.params.items()}
    for grads in gradients(params, steps):
        for name, grad in grads.items():
            place, _, array = name.partition(".")
            layers[place].grads[array] = grad
        optimizer.step(model)
    return {name: array.copy() for name, array in params.items()}


def by_numpy(kind: str, options: dict[str, Any], p: np.ndarray, grads: list[np.ndarray]) -> Any:
    """The formulas of the docstrings, on one array."""
    p, zero = p.copy(), np.zeros_like(p)
    v, m, s, b = zero.copy(), zero.copy(), zero.copy(), zero.copy()
    lr = options.get("lr", {"Adam": 1e-3, "RAdam": 1e-3, "RMSprop": 1e-2}.get(kind))
    decay, momentum = options.get("weight_decay", 0.0), options.get("momentum", 0.0)
    for t, g in enumerate(grads, start=1):
        if kind == "AdamW" or options.get("decoupled_weight_decay"):
            p -= lr * decay * p
        else:
            g = g + decay * p
        if kind == "SGD":
            v = momentum * v + g
            p -= lr * (g + momentum * v if options.get("nesterov") else v)
        elif kind in ("Adam", "AdamW"):
            beta1, beta2 = options.get("betas", (0.9, 0.999))
            m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g**2
            root = np.sqrt(s / (1 - beta2**t)) + options.get("eps", 1e-8)
            p -= lr * m / (1 - beta1**t) / root
        elif kind == "RAdam":
            beta1, beta2 = options.get("betas", (0.9, 0.999))
            m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g**2
            longest = 2 / (1 - beta2) - 1
            length = longest - 2 * t * beta2**t / (1 - beta2**t)
            change = m / (1 - beta1**t)
            if length > 5:
                above, below = (length - 4) * (length - 2), (longest - 4) * (longest - 2)
                change *= np.sqrt(above / below * longest / length)
                change *= np.sqrt(1 - beta2**t) / (np.sqrt(s) + options.get("eps", 1e-8))
            p -= lr * change
        elif kind == "RMSprop":
            alpha = options.get("alpha", 0.99)
            s = alpha * s + (1 - alpha) * g**2
            b = momentum * b + g / (np.sqrt(s) + 1e-8)
            p -= lr * b
        else:
            s = s + g**2
            p -= lr * g / (np.sqrt(s) + 1e-10)
    return p


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_follow_the_formulas(case: str, dtype: Any) -> None:
    make, kind, options = CASES[case]
    start = dict(model(dtype).named_arrays())
    after = trained(make(), model(dtype))
    for name, array in after.items():
        plain = dict(options)
        if kind == "AdamW":
            plain.setdefault("weight_decay", 1e-2)
        if not name.endswith("weight"):
            plain["weight_decay"] = 0.0
        grads = [g[name] for g in gradients(after)]
        expected = by_numpy(kind, plain, start[name].astype(np.float64), grads)
        rtol, atol = (1e-12, 1e-13) if dtype == np.float64 else (2e-5, 2e-6)
        np.testing.assert_allclose(array, expected, rtol=rtol, atol=atol, err_msg=name)


@every_case
def test_steps_are_those_of_pytorch(case: str) -> None:
    torch = pytest.importorskip("torch")
    make, kind, options = CASES[case]
    start = dict(model().named_arrays())
    after = trained(make(), model())
    tensors = {n: torch.tensor(start[n], requires_grad=True) for n in after}
    options = {"lr": 1e-3, **options} if kind in ("Adam", "RAdam") else dict(options)
    decay = options.pop("weight_decay", 1e-2 if kind == "AdamW" else 0.0)
    groups = [
        {"params": [t for n, t in tensors.items() if n.endswith("weight") == is_weight],
         "weight_decay": decay if is_weight else 0.0}
        for is_weight in (True, False)
    ]  # fmt: skip
    theirs = getattr(torch.optim, kind)(groups, **options)
    for grads in gradients(after):
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[name])
        theirs.step()
    for name, array in after.items():
        np.testing.assert_allclose(array, tensors[name].detach().numpy(), rtol=1e-10, atol=1e-12)


FROZEN = ("3", "3", "", "01", "0", "3", "")
"""The layers that are frozen in each step."""


@every_case
@pytest.mark.parametrize("saved", [False, True], ids=["", "saved"])
def test_a_step_counts_for_what_is_not_frozen(case: str, saved: bool) -> None:
    make, kind, options = CASES[case]
    net, optimizer = model(), make()
    start = {name: net.parameters.values[at].copy() for name, at in net.parameters.slices.items()}
    for frozen, grads in zip(FROZEN, gradients(start), strict=True):
        for place, layer in enumerate(net.layers):
            layer.trainable = str(place) not in frozen
        for name, at in net.parameters.slices.items():
            net.parameters.gradients[at] = grads[name].ravel()
        optimizer.step(net)
        if saved:
            arrays, optimizer = optimizer.state_arrays(), make()
            optimizer.load_state_arrays(arrays)
    assert optimizer.steps == STEPS
    plain = {"weight_decay": 1e-2, **options} if kind == "AdamW" else options
    for name, at in net.parameters.slices.items():
        own = plain if name.endswith("weight") else {**plain, "weight_decay": 0.0}
        seen = [g[name] for frozen, g in zip(FROZEN, gradients(start), strict=True)
                if name[0] not in frozen]  # fmt: skip
        expected = by_numpy(kind, own, start[name], [g.ravel() for g in seen])
        np.testing.assert_allclose(net.parameters.values[at], expected, rtol=1e-12, atol=1e-13)


@every_optimizer
def test_step_does_not_change_gradients(make: Callable[[], Optimizer]) -> None:
    net = model()
    net.parameters.gradients[:] = 1
    make().step(net)
    assert (net.parameters.gradients == 1).all()


def set_gradients(net: Sequential, number: int) -> None:
    net.parameters.gradients[:] = np.sin(number + np.arange(net.parameters.values.size))


@every_optimizer
def test_continuing_with_saved_state(make: Callable[[], Optimizer]) -> None:
    whole, parts = model(), model()
    optimizer, first, second = make(), make(), make()
    for net, steps in ((whole, (optimizer,) * 6), (parts, (first,) * 3 + (second,) * 3)):
        for number, each in enumerate(steps):
            if each is second and number == 3:
                second.load_state_arrays(first.state_arrays())
            set_gradients(net, number)
            each.step(net)
    np.testing.assert_array_equal(whole.parameters.values, parts.parameters.values)


@every_optimizer
def test_state_that_was_asked_for_stays_as_it_was(make: Callable[[], Optimizer]) -> None:
    net, optimizer = model(), make()
    set_gradients(net, 0)
    optimizer.step(net)
    values, kept = net.copy_arrays(), optimizer.state_arrays()
    ends = []
    for _ in range(2):  # both times from there
        for number in range(1, 4):
            set_gradients(net, number)
            optimizer.step(net)
        ends.append(net.copy_arrays())
        net.load_arrays(values)
        optimizer.load_state_arrays(kept)
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name], err_msg=name)


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lookahead_goes_back_part_of_the_way(case: str, dtype: Any) -> None:
    make = CASES[case][0]
    net, twin = model(dtype), model(dtype)
    optimizer, fast = Lookahead(make(), k=3, alpha=0.3), make()
    p = twin.parameters.values
    slow = p.copy()
    for number in range(1, 12):
        for each, rule in ((net, optimizer), (twin, fast)):
            set_gradients(each, number)
            rule.step(each)
        if number % 3 == 0:
            slow += dtype(0.3) * (p - slow)
            p[:] = slow
        tolerance = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(net.parameters.values, p, rtol=tolerance, atol=tolerance)


def test_lookahead_by_hand() -> None:
    layer, optimizer = Dense(1, 1, bias=False).astype(np.float64), Lookahead(SGD(1.0), k=2)
    layer.params["weight"] = np.array([[8.0]])
    seen = []
    for _ in range(4):
        layer.grads["weight"] = np.array([[2.0]])
        optimizer.step(layer)
        seen.append(float(layer.params["weight"][0, 0]))
    assert seen == [6.0, 6.0, 4.0, 4.0]  # 8 - 2 - 2 = 4, and half of the way back to 8


def test_lookahead_all_the_way_changes_nothing() -> None:
    plain, wrapped = trained(Adam(0.1), model()), trained(Lookahead(Adam(0.1), alpha=1), model())
    for name, array in plain.items():
        np.testing.assert_allclose(wrapped[name], array, rtol=1e-14, atol=1e-15)


def test_lookahead_compiles_its_kernel_before_training_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    monkeypatch.setattr(kernels, "lookahead", lambda p, slow, alpha: calls.append(alpha))
    optimizer, net = Lookahead(SGD(), k=5), graded()
    for _ in range(6):
        optimizer.step(net)
    assert calls == [1.0, 0.5]  # a whole way at the first step, the slow one at the fifth


def test_ranger_is_lookahead_around_radam() -> None:
    inner = RAdam(0.1, (0.95, 0.999), 1e-5, 0.2, decoupled_weight_decay=True)
    expected = trained(Lookahead(inner, k=6), model(), steps=14)
    for name, array in trained(Ranger(0.1, weight_decay=0.2), model(), steps=14).items():
        np.testing.assert_array_equal(array, expected[name])


def test_lookahead_hands_on_the_learning_rate() -> None:
    inner = SGD(0.5, weight_decay=0.1)
    optimizer = Lookahead(inner)
    assert (optimizer.lr, optimizer.weight_decay) == (0.5, 0.1)
    optimizer.lr, optimizer.weight_decay = 0.25, 0.2
    assert (inner.lr, inner.weight_decay) == (0.25, 0.2)


def test_learning_rate_may_change() -> None:
    net, optimizer = model(), SGD(0.5)
    net.parameters.gradients[:] = 1
    before = net.parameters.values.copy()
    optimizer.lr = 0.25
    optimizer.step(net)
    np.testing.assert_allclose(before - net.parameters.values, 0.25, rtol=1e-12)


def test_layers_without_a_model() -> None:
    layers: list[Layer] = [Dense(2, 3), Residual([Dense(3, 3)])]
    optimizer = SGD(1.0)
    for target in (layers[0], layers[1], layers):
        before = [a.copy() for layer in layers for a in layer.params.values()]
        for layer in layers:
            for name, grad in layer.grads.items():
                layer.grads[name] = np.ones(grad.shape)
        optimizer.step(target)
        changed = [target is layers or layer is target for layer in layers for _ in layer.params]
        after = [a for layer in layers for a in layer.params.values()]
        for old, new, moved in zip(before, after, changed, strict=True):
            np.testing.assert_allclose(old - new, float(moved), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "ranger"])
def test_a_state_that_the_dtype_cannot_hold_is_refused(name: str) -> None:
    net = graded(np.float32)
    optimizer = optim.from_name(name)
    optimizer.step(net)
    wide = {n: np.float64(array) for n, array in optimizer.state_arrays().items()}
    before, again = net.copy_arrays(), optim.from_name(name)
    again.load_state_arrays({**wide, "v": np.full_like(wide["v"], 1e60)})
    with pytest.raises(ValueError, match=r": the state 'v': 1e\+60 is too large for float32"):
        again.step(net)
    assert all((array == before[n]).all() for n, array in net.copy_arrays().items())
    again.load_state_arrays(wide)
    again.step(net)  # rounded
    optimizer.step(net)
    assert again.steps == optimizer.steps == 2


@pytest.mark.parametrize("name", optim.names())
def test_a_step_needs_a_backward_pass(name: str) -> None:
    """Else nothing would change, or by weight decay alone."""
    x = np.float32([[1, 2, 3, 4, 5], [5, 4, 3, 2, 2]])
    layer, row = Dense(5, 3), [Dense(5, 4), Dense(4, 3)]
    for target, who in ((model(np.float32), "model"), (layer, "layer"), (row, "layer")):
        optimizer, layers = optim.from_name(name), target if isinstance(target, list) else [target]
        before = [each.copy_arrays() for each in layers]
        with pytest.raises(RuntimeError, match=f"no backward pass: call {who}.backward"):
            optimizer.step(target)
        assert optimizer.steps == 0
        for each, arrays in zip(layers, before, strict=True):
            assert all((array == arrays[n]).all() for n, array in each.copy_arrays().items())
        y = x
        for each in layers:
            y = each.forward(y, training=True)
        dy = np.zeros_like(y)  # as of a hinge that nothing violates
        for each in reversed(layers):
            dy = each.backward(dy)
        optimizer.step(target)
        assert optimizer.steps == 1


def test_a_forward_pass_is_no_backward_pass() -> None:
    net = model()
    net.forward(np.eye(5), training=True)
    with pytest.raises(RuntimeError, match="no backward pass"):
        SGD(weight_decay=0.1).step(net)
    net.parameters.gradients[...] = 1  # of one's own
    SGD(weight_decay=0.1).step(net)


def test_one_model_per_optimizer() -> None:
    optimizer = Adam()
    optimizer.step(graded())
    with pytest.raises(ValueError, match="Adam: this optimizer holds the state of another model"):
        optimizer.step(graded())
    other = Adam()
    other.load_state_arrays({"steps": np.array(1), "m": np.zeros(3), "v": np.zeros(3)})
    with pytest.raises(ValueError, match="make a new one for each model"):
        other.step(graded())
    around = Lookahead(SGD())
    around.step(graded())
    with pytest.raises(ValueError, match="Lookahead: this optimizer holds the state of another"):
        around.step(graded())
    plain = SGD(0.1)
    plain.step(graded())
    plain.step(graded())  # nothing is kept, so nothing can be mixed up


def test_names_and_specifications() -> None:
    for name in optim.names():
        optimizer = optim.from_name(name, lr=0.3)
        spec = optimizer.spec()
        assert spec.pop("type").lower() == name
        assert type(optimizer)(**spec).spec() == optimizer.spec()
        assert optimizer.lr == 0.3
    assert optim.from_name("SGD", momentum=0.5).spec()["momentum"] == 0.5
    assert "lookahead" not in optim.names()
    assert Lookahead(SGD(0.5), k=3).spec() == {
        "type": "Lookahead", "optimizer": SGD(0.5).spec(), "k": 3, "alpha": 0.5,
    }  # fmt: skip
    assert optim.kind_of(Lookahead(SGD()).spec()) == "Lookahead around SGD"
    assert repr(Lookahead(AdaGrad())) == f"Lookahead(optimizer={AdaGrad()}, k=5, alpha=0.5)"
    assert repr(AdaGrad()) == "AdaGrad(lr=0.01, weight_decay=0.0, eps=1e-10)"


COPIERS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
    "one by one": lambda pair: tuple(map(copy.deepcopy, pair)),
    "copy": lambda pair: (copy.deepcopy(pair[0]), copy.copy(pair[1])),
}
WRAPPED = {"lookahead": lambda: Lookahead(Adam(0.01), k=2), "nested": lambda: optim.Ranger(k=3)}


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
@pytest.mark.parametrize("kind", [*optim.names(), "momentum", "decaying", *WRAPPED])
def test_a_used_optimizer_is_copied_with_its_model(kind: str, copier: Any) -> None:
    if kind == "momentum":
        optimizer: Optimizer = SGD(0.1, momentum=0.9, nesterov=True)
    elif kind == "decaying":
        optimizer = optim.RMSprop(0.01, momentum=0.5, weight_decay=0.1)
    else:
        optimizer = WRAPPED[kind]() if kind in WRAPPED else optim.from_name(kind)

    def steps(target: Sequential, optimizer: Optimizer, count: int) -> None:
        for _ in range(count):
            flat = target.parameters
            for place in flat.slices.values():  # not what fills up the borders
                size = place.stop - place.start
                flat.gradients[place] = np.sin(np.arange(size) + optimizer.steps)
            optimizer.step(target)

    trained = Sequential(Dense(3, 4), ReLU(), Dense(4, 2))
    steps(trained, optimizer, 3)
    twin, other = copier((trained, optimizer))
    assert repr(other) == repr(optimizer)
    steps(trained, optimizer, 4)
    steps(twin, other, 4)
    np.testing.assert_array_equal(twin.parameters.values, trained.parameters.values)
    assert other.state_arrays().keys() == optimizer.state_arrays().keys()
    for name, array in optimizer.state_arrays().items():
        np.testing.assert_array_equal(other.state_arrays()[name], array)


def test_a_copied_optimizer_of_layers_goes_on_with_their_copies() -> None:
    layers, optimizer = [Dense(3, 4), Dense(4, 2)], Adam(0.1)
    for layer in layers:
        layer.grads["weight"] = np.ones(layer.grads["weight"].shape)
    optimizer.step(layers)
    twins, other = copy.deepcopy((layers, optimizer))
    for each in (*layers, *twins):
        each.grads["weight"] = np.full(each.grads["weight"].shape, 0.5)
    optimizer.step(layers)
    other.step(twins)
    for layer, twin in zip(layers, twins, strict=True):
        np.testing.assert_array_equal(layer.params["weight"], twin.params["weight"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(learning_rate=1), "SGD has no argument 'learning_rate'; here it is called"),
        (lambda: Adam(beta_1=0.9), "here it is called 'betas'; its arguments are lr, betas, eps"),
        (lambda: Adam(amsgrad=True), "leave it out: there is no AMSGrad"),
        (lambda: SGD(params=[]), "optimizer.step(model) says whose parameters"),
        (lambda: Adam(lrr=1), "did you mean 'lr'?"),
    ],
)  # fmt: skip
def test_names_of_other_libraries(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def anything(value: Any) -> Any:
    return value


def stepped() -> Optimizer:
    """An optimizer that a model has used."""
    optimizer = Adam()
    optimizer.step(graded())
    return optimizer


MISTAKES: list[tuple[Callable[[], Any], str]] = [
    (lambda: SGD(-1), "SGD: lr must be a finite number, at least 0, got -1"),
    (lambda: SGD(float("nan")), "SGD: lr must be a finite number"),
    (lambda: setattr(SGD(), "lr", float("inf")), "SGD: lr must be a finite number"),
    (lambda: SGD(momentum=1), "SGD: momentum must be a finite number, at least 0 and below 1"),
    (lambda: SGD(lr=1e39), "SGD: lr must be a finite number, at least 0 within 3.4e+38, the range"),
    (lambda: SGD(nesterov=anything("no")), "SGD: nesterov must be True or False, got 'no'"),
    (
        lambda: RAdam(decoupled_weight_decay=anything(1)),
        "RAdam: decoupled_weight_decay must be True",
    ),
    (lambda: SGD(nesterov=True), "SGD: nesterov needs a momentum above 0"),
    (lambda: Adam(betas=(0.9, 1)), "Adam: each of betas must be a finite number"),
    (lambda: AdamW(betas=anything(0.9)), "AdamW: betas must be a pair, got 0.9"),
    (lambda: AdamW(weight_decay=-1), "AdamW: weight_decay must be a finite number, at least 0"),
    (lambda: RMSprop(alpha=anything("x")), "RMSprop: alpha must be a finite number"),
    (lambda: AdaGrad(eps=-1), "AdaGrad: eps must be a finite number, at least 0, got -1"),
    (lambda: RAdam(lr=-1), "RAdam: lr must be a finite number, at least 0, got -1"),
    (lambda: Lookahead(anything("adam")), "Lookahead: optimizer must be one that Lookahead can wr"),
    (lambda: Lookahead(Lookahead(SGD())), "such as Adam(1e-3), got Lookahead(optimizer=SGD("),
    (lambda: Lookahead(stepped()), "Lookahead: Adam(lr=0.001, weight_decay=0.0, betas=[0.9, 0.999"),
    (lambda: Lookahead(SGD(), k=0), "Lookahead: k must be a whole number above 0, got 0"),
    (lambda: Lookahead(SGD(), alpha=1.5), "Lookahead: alpha must be a finite number, from 0 to 1"),
    (lambda: Ranger(k=anything(2.5)), "Ranger: k must be a whole number above 0, got 2.5"),
    (lambda: optim.from_name("adan"), "there is no optimizer 'adan'; did you mean 'adam'?"),
    (lambda: optim.from_name("sgd", momentun=1), "no argument of sgd 'momentun'; did you mean"),
    (lambda: Adam().load_state_arrays({"m": np.zeros(1)}), "Adam: its state is m, steps, v, got m"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("target", [None, [], "model", [1], {}])
def test_step_takes_models_and_layers(target: Any) -> None:
    with pytest.raises(TypeError, match="SGD: step takes a model, a layer or a list of layers"):
        SGD().step(target)
