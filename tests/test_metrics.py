"""Numbers equal scikit-learn's; intervals hold what they say."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from fastcnn import metrics


def case(name):
    """(logits, labels) of one kind of test."""
    numbers = np.random.default_rng(3)
    classes, count = {"two": (2, 50), "many": (40, 500)}.get(name, (5, 300))
    labels = numbers.integers(0, classes, count)
    logits = numbers.standard_normal((count, classes)) * 2
    logits[np.arange(count), labels] += 2
    if name == "absent class":  # neither there nor predicted
        labels[labels == 3] = 0
        logits[:, 3] = -50
    if name == "never predicted":
        logits[:, 2] = -25
    if name == "one image":
        logits, labels = logits[:1], labels[:1]
    if name == "all right":
        logits[np.arange(count), labels] += 100
    if name == "ties":
        logits = np.round(logits)
    return logits.astype(np.float32), labels


KINDS = [
    "usual",
    "two",
    "many",
    "absent class",
    "never predicted",
    "one image",
    "all right",
    "ties",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_equals_scikit_learns(kind):
    logits, labels = case(kind)
    classes = logits.shape[1]
    names = [f"c{i}" for i in range(classes)]
    report = metrics.measure(logits, labels, names, top=(1, 2, 3))
    predicted, probabilities = logits.argmax(axis=1), metrics.softmax(logits)
    every = list(range(classes))
    wanted = sk.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for place, rate in enumerate(("precision", "recall", "f1")):
        found = [report.classes[name][rate].value for name in names]
        np.testing.assert_allclose(found, wanted[place], rtol=0, atol=1e-12)
        for average in ("macro", "weighted"):
            score = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
            expected = score[rate](labels, predicted, average=average, zero_division=0)
            assert report.averages[average][rate].value == pytest.approx(expected, abs=1e-12)
    assert list(report.support.values()) == wanted[3].tolist()
    np.testing.assert_array_equal(
        report.confusion, sk.confusion_matrix(labels, predicted, labels=every)
    )
    assert report.accuracy.value == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-12)
    expected = sk.log_loss(labels, np.clip(probabilities, 1e-300, 1), labels=every)
    assert report.loss.value == pytest.approx(expected, abs=1e-12)
    for k, found in report.top.items():
        expected = (
            sk.top_k_accuracy_score(labels, probabilities, k=k, labels=every)
            if classes > 2
            else sk.top_k_accuracy_score(labels, probabilities[:, 1], k=k, labels=every)
        )
        if kind != "ties":
            assert found.value == pytest.approx(expected, abs=1e-12)
    for number in every_number(report):
        assert number.low <= number.value <= number.high


def every_number(report):
    yield from (report.loss, report.accuracy, report.calibration, *report.top.values())
    for group in (report.classes, report.averages):
        for numbers in group.values():
            yield from numbers.values()


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (3, 7), (97, 100), (1, 1)])
def test_wilson_is_scipys(right, count):
    found = metrics.wilson(right, count)
    wanted = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert found.low == pytest.approx(wanted.low, abs=1e-12)
    assert found.high == pytest.approx(wanted.high, abs=1e-12)
    assert metrics.wilson(0, 0) == metrics.Measured(0.0, 0.0, 1.0)


def test_calibration_by_hand():
    # Two images of confidence 0.8, one of them right; two of 0.6, both right.
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.6, 0.4]])
    report = metrics.measure(np.log(probabilities), np.array([0, 1, 0, 0]), ["a", "b"])
    assert report.calibration.value == pytest.approx((2 * abs(0.8 - 0.5) + 2 * abs(0.6 - 1)) / 4)


def test_intervals_hold_the_truth_as_often_as_they_say():
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 3, 60_000)
    logits = numbers.standard_normal((60_000, 3))
    logits[np.arange(60_000), labels] += 1
    truth = metrics.measure(logits, labels, "abc")
    held = np.zeros(6)
    for start in range(0, 60_000, 300):
        rows = slice(start, start + 300)
        sample = metrics.measure(logits[rows], labels[rows], "abc")
        pairs = [
            (sample.accuracy, truth.accuracy), (sample.loss, truth.loss),
            (sample.classes["b"]["precision"], truth.classes["b"]["precision"]),
            (sample.classes["b"]["recall"], truth.classes["b"]["recall"]),
            (sample.classes["b"]["f1"], truth.classes["b"]["f1"]),
            (sample.averages["macro"]["f1"], truth.averages["macro"]["f1"]),
        ]  # fmt: skip
        held += [here.low <= there.value <= here.high for here, there in pairs]
    assert (np.abs(held / 200 - 0.95) < 0.045).all(), held / 200


def test_large_losses_are_not_rounded_away():
    report = metrics.measure(np.array([[0.0, 2000.0]], np.float32), np.array([0]), "ab")
    assert report.loss.value == 2000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1, 1e4])  # of 1e4 all but the largest have probability 0
def test_the_k_most_probable_are_those_of_the_largest_logits(kind, scale):
    logits, labels = case(kind)
    logits = logits * np.float32(scale)
    report = metrics.measure(logits, labels, range(logits.shape[1]), top=(1, 2, 3))
    assert report.top[1] == report.accuracy
    right = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]  # of equal ones, which count first
    rank = ((logits > right) | ((logits == right) & before)).sum(axis=1)
    for k, found in report.top.items():
        assert found.value == pytest.approx((rank < k).mean(), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.uint64])
def test_labels_of_any_whole_type_count_the_same(dtype):
    logits, labels = case("many")
    wanted = metrics.measure(logits, labels, range(40))
    found = metrics.measure(logits, labels.astype(dtype), range(40))
    np.testing.assert_array_equal(found.confusion, wanted.confusion)
    assert found.loss == wanted.loss


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        ([0, 2], ValueError, "between 0 and 1, as there are 2 logits per row, got 2"),
        ([-1, 1], ValueError, "between 0 and 1, as there are 2 logits per row, got -1"),
        ([0.0, 1.0], TypeError, "whole numbers, got float64"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, error, sentence):
    with pytest.raises(error, match=sentence):
        metrics.measure(np.zeros((2, 2)), np.array(labels), "ab")


@pytest.mark.parametrize(
    ("logits", "labels", "names"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "ab"),
        (np.zeros((2, 2)), np.zeros(3, int), "ab"),
        (np.zeros((2, 2)), np.zeros(2, int), "abc"),
    ],
)
def test_what_cannot_be_measured(logits, labels, names):
    with pytest.raises(ValueError, match="metrics need"):
        metrics.measure(logits, labels, names)


@pytest.mark.parametrize("numbers", [1, 3])
def test_numbers_are_measured_as_scikit_learn_does(numbers):
    draw = np.random.default_rng(5)
    true = draw.normal(100, 3, (200, numbers)).astype(np.float32)
    found = true + draw.normal(0, 1, true.shape).astype(np.float32)
    figures = metrics.measure_numbers(found, true, "abc"[:numbers])
    wanted = {
        "r2": sk.r2_score(true, found),
        "rmse": sk.mean_squared_error(true, found) ** 0.5,
        "mae": sk.mean_absolute_error(true, found),
    }
    for name, value in wanted.items():
        measured = figures.overall[name]
        assert measured.value == pytest.approx(value, rel=1e-6)
        assert measured.low < measured.value < measured.high
    assert list(figures.each) == (list("abc") if numbers > 1 else [])
    each = sk.r2_score(true, found, multioutput="raw_values")
    for i, name in enumerate(figures.each):
        assert figures.each[name]["r2"].value == pytest.approx(each[i], rel=1e-6)


def test_numbers_that_are_all_the_same():
    same = np.full((4, 1), 0.1, np.float32)
    assert metrics.measure_numbers(same, same).overall["r2"].value == 1
    assert metrics.measure_numbers(same + 1, same).overall["r2"].value == 0


def test_labels_are_measured_as_scikit_learn_does():
    draw = np.random.default_rng(6)
    labels = draw.integers(0, 2, (150, 4))
    labels[:, 3] = 0  # never there
    logits = draw.normal(0, 2, labels.shape) + 2 * labels - 1
    figures, found = metrics.measure_labels(logits, labels), logits > 0
    overall = {name: each.value for name, each in figures.overall.items()}
    assert overall["exact_match"] == sk.accuracy_score(labels, found)
    assert overall["label_accuracy"] == pytest.approx(1 - sk.hamming_loss(labels, found))
    chance = 1 / (1 + np.exp(-logits))
    assert overall["loss"] == pytest.approx(
        -np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance))
    )
    wanted = sk.precision_recall_fscore_support(labels, found, zero_division=0)
    for place, rate in enumerate(("precision", "recall", "f1")):
        each = [numbers[rate].value for numbers in figures.each.values()]
        np.testing.assert_allclose(each, wanted[place], atol=1e-12)
    assert list(figures.support.values()) == wanted[3].tolist()
    assert overall["macro f1"] == pytest.approx(wanted[2].mean())


@pytest.mark.parametrize("measure", [metrics.measure_numbers, metrics.measure_labels])
def test_targets_that_do_not_fit_are_refused(measure):
    for found, true, names in (
        (np.zeros((3, 2)), np.zeros((3, 1)), ()),
        (np.zeros((3, 2)), np.zeros((3, 2)), ("a",)),
        (np.zeros((0, 2)), np.zeros((0, 2)), ()),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), ()),
    ):
        with pytest.raises(ValueError, match="metrics"):
            measure(found, true, names)
