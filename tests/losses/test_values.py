"""Every loss: by hand, against PyTorch's, numerical gradients, weights, and its sentences."""

import copy
import re

import numpy as np
import pytest

from fastcnn import losses
from fastcnn.losses import (
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    MAELoss,
    MSELoss,
    asked,
    chosen,
)
from tests.gradient_check import check_gradient

RNG = np.random.default_rng(7)
OUTPUTS = 2 * RNG.normal(size=(6, 4))
LABELS = np.array([0, 3, 1, 1, 2, 0])
NUMBERS = 2 * RNG.normal(size=(6, 4))
SEVERAL = RNG.integers(0, 2, (6, 4))
WEIGHTS = np.array([0.5, 0, 2, 1, 3, 0.25])
CASES = [
    (CrossEntropyLoss(), LABELS),
    (CrossEntropyLoss(label_smoothing=0.2), LABELS),
    (CrossEntropyLoss(), RNG.dirichlet(np.ones(4), 6)),
    (HingeLoss(), LABELS),
    (HingeLoss(margin=0.3), np.eye(4)[LABELS]),
    (BinaryCrossEntropyLoss(), SEVERAL),
    (BinaryCrossEntropyLoss(pos_weight=[1, 2, 0.5, 3]), RNG.random((6, 4))),
    (MSELoss(), NUMBERS),
    (MAELoss(), NUMBERS),
    (HuberLoss(), NUMBERS),
    (HuberLoss(delta=0.4), NUMBERS),
]
EVERY = pytest.mark.parametrize(("loss", "targets"), CASES, ids=lambda case: repr(case)[:50])


@EVERY
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_numerical_gradient(loss, targets, reduction, weights):
    loss, outputs = copy.copy(loss), OUTPUTS.copy()
    loss.reduction = reduction
    loss.forward(outputs, targets, weights)
    check_gradient(
        lambda: np.array([loss.forward(outputs, targets, weights)]),
        {"outputs": outputs}, np.ones(1), {"outputs": loss.backward().copy()},
        atol=1e-8, rtol=1e-6,
    )  # fmt: skip


@EVERY
def test_weights_multiply_each_sample_and_divide_by_the_batch(loss, targets):
    each = [loss.forward(OUTPUTS[i : i + 1], targets[i : i + 1]) for i in range(6)]
    assert loss.forward(OUTPUTS, targets) == pytest.approx(np.mean(each), rel=1e-12)
    weighted = loss.forward(OUTPUTS, targets, WEIGHTS)
    assert weighted == pytest.approx((WEIGHTS * each).sum() / 6, rel=1e-12)
    assert (loss.backward()[1] == 0).all()  # its weight is 0
    assert loss.forward(OUTPUTS, targets, np.zeros(6)) == 0
    assert loss.forward(OUTPUTS, targets, np.ones(6)) == loss.forward(OUTPUTS, targets)


@EVERY
def test_float32_stays_float32(loss, targets):
    value = loss.forward(OUTPUTS.astype(np.float32), targets, WEIGHTS)
    assert loss.backward().dtype == np.float32
    assert value == pytest.approx(loss.forward(OUTPUTS, targets, WEIGHTS), rel=1e-5)


def twins(torch):
    nn = torch.nn
    yield MSELoss, nn.MSELoss, {}, NUMBERS, {}
    yield MAELoss, nn.L1Loss, {}, NUMBERS, {}
    yield HuberLoss, nn.HuberLoss, {"delta": 0.7}, NUMBERS, {"delta": 0.7}
    yield HingeLoss, nn.MultiMarginLoss, {"margin": 0.8}, LABELS, {"margin": 0.8}
    several, weight = SEVERAL.astype(float), [0.5, 2.0, 1.0, 4.0]
    yield BinaryCrossEntropyLoss, nn.BCEWithLogitsLoss, {}, several, {}
    theirs = {"pos_weight": torch.tensor(weight, dtype=torch.float64)}
    yield BinaryCrossEntropyLoss, nn.BCEWithLogitsLoss, {"pos_weight": weight}, several, theirs


def test_values_and_gradients_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for kind, twin, ours, targets, theirs in twins(torch):
        leaf = torch.tensor(OUTPUTS, requires_grad=True)
        value = twin(**theirs)(leaf, torch.tensor(targets))
        value.backward()
        loss = kind(**ours)
        assert loss.forward(OUTPUTS, targets) == pytest.approx(value.item(), rel=1e-13)
        np.testing.assert_allclose(loss.backward(), leaf.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_ties_and_kinks_by_hand():
    outputs = np.array([[1.0, 3.0], [0.0, -2.0]])
    targets = np.array([[1.0, 1.0], [0.5, -1.0]])  # distances 0, 2, -1/2, -1
    loss = MAELoss("sum")
    assert loss.forward(outputs, targets) == (0 + 2) / 2 + (0.5 + 1) / 2
    np.testing.assert_array_equal(loss.backward(), [[0, 0.5], [-0.5, -0.5]])
    loss = HuberLoss("sum")
    assert loss.forward(outputs, targets) == (0 + 1.5) / 2 + (0.125 + 0.5) / 2
    np.testing.assert_array_equal(loss.backward(), [[0, 0.5], [-0.25, -0.5]])
    loss = HingeLoss("sum")
    scores = np.array([[2.0, 1.0, 1.5, 0.0], [1.0, 1.0, 1.0, 0.0]])  # a kink, and ties
    assert loss.forward(scores, np.array([0, 2])) == (0 + 0.5 + 0) / 4 + (1 + 1 + 0) / 4
    expected = np.array([[-1, 0, 1, 0], [1, 1, -2, 0]]) / 4
    np.testing.assert_array_equal(loss.backward(), expected)
    assert loss.correct == 1  # of equal scores the first counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_several_labels_do_not_overflow(dtype):
    loss = BinaryCrossEntropyLoss("sum")
    outputs = np.array([[1e4, -1e4, 3e38, -3e38, 0]], dtype)
    assert loss.forward(outputs, np.array([[1, 0, 1, 0, 1]])) == pytest.approx(np.log(2) / 5)
    np.testing.assert_allclose(loss.backward(), [[0, 0, 0, 0, -0.1]])
    assert loss.forward(outputs[:, :2], np.array([[0, 1]])) == 1e4
    np.testing.assert_array_equal(loss.backward(), [[0.5, -0.5]])


@pytest.mark.parametrize("loss", [MSELoss(), MAELoss(), HuberLoss(), BinaryCrossEntropyLoss()])
def test_a_column_and_a_row_are_not_multiplied_out(loss):
    outputs, targets = RNG.normal(size=(5, 1)), RNG.random(5)
    value = loss.forward(outputs, targets)
    assert loss.backward().shape == (5, 1)
    assert value == loss.forward(outputs, targets[:, None])
    for wrong in (targets[:4], np.ones((5, 2)), np.ones((1, 5)), np.ones(1)):
        with pytest.raises(ValueError, match=re.escape("(5, 1) or (5,), like the outputs, got")):
            loss.forward(outputs, wrong)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: HuberLoss(delta=0), "HuberLoss: delta must be a finite number above 0, got 0"),
        (lambda: HingeLoss(margin=-1), "HingeLoss: margin must be a finite number above 0"),
        (lambda: HuberLoss(delta=float("nan")), "delta must be a finite number above 0, got nan"),
        (lambda: MSELoss("max"), "MSELoss: reduction must be 'mean' or 'sum'"),
        (lambda: BinaryCrossEntropyLoss(pos_weight=0), "pos_weight must be a number above 0"),
        (lambda: BinaryCrossEntropyLoss(pos_weight=[[1]]), "or one for each label"),
        (
            lambda: BinaryCrossEntropyLoss(pos_weight=[1, 2]).forward(OUTPUTS, SEVERAL),
            "pos_weight has 2 numbers for 4 labels",
        ),
        (lambda: BinaryCrossEntropyLoss().forward(OUTPUTS, 2 * SEVERAL), "between 0 and 1, got 2"),
        (lambda: BinaryCrossEntropyLoss().forward(OUTPUTS, SEVERAL - 1), "0 and 1, got -1"),
        (
            lambda: BinaryCrossEntropyLoss().forward(OUTPUTS, np.full((6, 4), np.nan)),
            "0 and 1, got nan",
        ),
        (lambda: MSELoss().forward(OUTPUTS, np.full((6, 4), "a")), "targets must be numbers"),
        (lambda: MSELoss().forward(OUTPUTS[0], LABELS), "expected outputs as (N, K)"),
        (lambda: MSELoss().forward([[1.0]], LABELS), "got list"),
        (lambda: HingeLoss().forward(OUTPUTS, LABELS + 1), "labels must lie between 0 and 3"),
        (lambda: HingeLoss().forward(OUTPUTS, np.full((6, 4), 0.25)), "not soft ones"),
        (lambda: HingeLoss().forward(OUTPUTS, np.array(3)), "HingeLoss: expected 6 labels"),
        (lambda: MSELoss().forward(OUTPUTS, NUMBERS, WEIGHTS[:5]), "one weight for each of 6"),
        (lambda: MSELoss().forward(OUTPUTS, NUMBERS, -WEIGHTS), "finite and at least 0, got -0.5"),
        (
            lambda: CrossEntropyLoss().forward(OUTPUTS, LABELS, np.full(6, np.inf)),
            "weights must be finite",
        ),
        (lambda: losses.from_name("mze"), "there is no loss 'mze'; did you mean 'mse'?"),
        (lambda: chosen.checked("binary_crossentropy"), "here it is called 'bce'"),
        (lambda: chosen.checked("BCEWithLogitsLoss"), "here it is called 'bce'"),
        (lambda: losses.from_name("mean-squared-error"), "here it is called 'mse'"),
        (lambda: chosen.checked(3), "loss must be a name or an object with forward"),
        (lambda: chosen.checked(MSELoss), "got the class itself: write MSELoss()"),
        (lambda: chosen.from_spec({"type": "os.system"}), "there is no loss"),
        (lambda: MSELoss().backward(), "MSELoss: backward needs a forward"),
    ],
)  # fmt: skip
def test_mistakes(make, sentence):
    with pytest.raises((ValueError, TypeError, RuntimeError), match=re.escape(sentence)):
        make()


@pytest.mark.parametrize("name", losses.names())
def test_by_name_and_from_a_description(name):
    loss = losses.from_name(name)
    assert losses.from_name(type(loss).__name__).spec() == loss.spec()
    assert repr(loss) == f"{type(loss).__name__}()"
    again = chosen.from_spec({**loss.spec(), "reduction": "sum"})
    assert repr(again) == f'{type(loss).__name__}("sum")'
    assert repr(HuberLoss(delta=2.0)) == "HuberLoss(delta=2.0)"


def test_a_loss_of_ones_own_is_described_alike_in_every_process():
    class Own:
        def __init__(self):
            self.gamma, self._seen, self.table = 2.0, 3, np.zeros(3)

        def forward(self, outputs, targets): ...

        def backward(self): ...

    name = f"{Own.__qualname__}(gamma=2.0)"
    assert asked.described(Own()) == name
    assert not asked.takes_weights(Own())
    assert chosen.spec_of(Own()) is None


REFUSED = {
    "outputs' shape": lambda loss, targets: loss.forward(OUTPUTS[0], targets),
    "as many targets": lambda loss, targets: loss.forward(OUTPUTS, targets[:5]),
    "kind": lambda loss, targets: loss.forward(OUTPUTS, np.full(np.shape(targets), "a")),
    "weights": lambda loss, targets: loss.forward(OUTPUTS, targets, -WEIGHTS),
    "labels": lambda loss, targets: loss.forward(OUTPUTS, targets + 5),
    "NaN": lambda loss, targets: loss.forward(OUTPUTS, targets * np.nan),
}


DISTANCES = MSELoss, MAELoss, HuberLoss  # which take any number


@pytest.mark.parametrize(
    ("loss", "targets", "mistake"),
    [
        (loss, targets, mistake)
        for loss, targets in CASES
        for mistake in REFUSED
        if not (isinstance(loss, DISTANCES) and mistake in ("labels", "NaN"))
    ],
    ids=lambda case: repr(case)[:50],
)
def test_backward_does_not_answer_for_the_forward_before_one_that_was_refused(
    loss, targets, mistake
):
    loss = copy.deepcopy(loss)
    loss.forward(OUTPUTS, targets)
    with pytest.raises((ValueError, TypeError)):
        REFUSED[mistake](loss, targets)
    with pytest.raises(RuntimeError, match=re.escape("that was not refused")):
        loss.backward()
    if isinstance(loss, CrossEntropyLoss):
        with pytest.raises(RuntimeError, match="probabilities needs a forward"):
            loss.probabilities  # noqa: B018
    loss.forward(OUTPUTS, targets)
    assert loss.backward().shape == OUTPUTS.shape


@EVERY
def test_the_gradient_is_the_callers_own(loss, targets):
    loss.forward(OUTPUTS, targets)
    first = loss.backward()
    kept = first.copy()
    loss.backward()[...] = 7
    loss.forward(2 * OUTPUTS, targets)
    loss.backward()
    np.testing.assert_array_equal(first, kept)
    loss.forward(OUTPUTS, targets)
    np.testing.assert_array_equal(loss.backward(), kept)


def test_several_losses_have_no_gradient_after_one_refused():
    loss = losses.Losses([CrossEntropyLoss(), MSELoss()])
    loss.forward((OUTPUTS, OUTPUTS), (LABELS, NUMBERS))
    for targets in [(LABELS, NUMBERS[:5]), (LABELS + 4, NUMBERS), (LABELS,)]:
        with pytest.raises(ValueError, match=r"expected|between"):
            loss.forward((OUTPUTS, OUTPUTS), targets)
        with pytest.raises(RuntimeError, match="Losses: backward needs a forward"):
            loss.backward()
    loss.forward((OUTPUTS, OUTPUTS), (LABELS, NUMBERS))
    assert len(loss.backward()) == 2
