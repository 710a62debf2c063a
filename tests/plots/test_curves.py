"""Curves: what is drawn equals the numbers, lines differ in grey, nothing overlaps."""

import pytest

from fastcnn.plots import curves, overlay, side_by_side

from .pictures import faults


def history(epochs: int, base: float = 1.0, parts: tuple[str, ...] = ("", "test_")) -> dict:
    columns = {"epoch": list(range(1, epochs + 1)), "lr": [0.1] * epochs}
    for prefix in parts:
        columns[f"{prefix}loss"] = [base / epoch for epoch in columns["epoch"]]
        columns[f"{prefix}accuracy"] = [1 - 0.5 / epoch for epoch in columns["epoch"]]
    return columns


def points(line) -> tuple[list, list]:
    return list(line.get_xdata()), list(line.get_ydata())


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_draw_the_numbers():
    run = history(3, parts=("", "val_", "test_"))
    figure = curves(run, "a title", best_epoch=2)
    left, right = figure.axes
    for axes, quantity, factor in ((left, "loss", 1), (right, "accuracy", 100)):
        for line, prefix in zip(axes.lines, ("", "val_", "test_"), strict=False):
            x, y = points(line)
            assert x == [1, 2, 3]
            assert y == [factor * value for value in run[prefix + quantity]]
        assert axes.get_xlabel() == "epoch"
    assert "nats" in left.get_ylabel() and "%" in right.get_ylabel()
    assert points(left.lines[3])[0] == [2, 2]
    assert legend(figure) == ["train", "validation", "test", "best epoch"]
    assert faults(figure) == []


def test_curves_say_what_the_loss_is_and_draw_the_score_that_there_is():
    run = history(3, parts=("", "val_"))
    assert curves(run, loss="hinge").axes[0].get_ylabel() == "loss (hinge)"
    assert side_by_side({"a": run}, loss="").axes[0].get_ylabel() == "loss"
    assert overlay({"a": run}, "loss", "val", loss="").axes[0].get_ylabel() == "validation loss"
    numbers = {"epoch": [1, 2], "loss": [2, 1], "r2": [-1, 0.5], "mae": [3, 2], "val_r2": [-2, 0]}
    left, right = curves(numbers).axes
    assert [points(line)[1] for line in right.lines] == [[-1, 0.5], [-2, 0]]
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "explained share of the variance")


def test_one_epoch_is_visible():
    figure = curves(history(1))
    train, _test = figure.axes[0].lines
    assert train.get_marker() == "o" and train.get_markersize() == 6
    assert figure.axes[0].get_ylim()[1] > 1.0
    assert list(figure.axes[0].get_xticks()) == [1]
    assert faults(figure) == []


def test_side_by_side_has_a_column_for_each_run_and_one_scale():
    runs = {"mnist-baseline": history(20, 2.0), "mnist-optimized": history(10, 1.0)}
    figure = side_by_side(runs, "MNIST")
    assert [axes.get_title() for axes in figure.axes] == [*runs, "", ""]
    for axes, (run, quantity, factor) in zip(
        figure.axes,
        [(run, *what) for what in (("loss", 1), ("accuracy", 100)) for run in runs.values()],
        strict=True,
    ):
        for line, prefix in zip(axes.lines, ("", "test_"), strict=True):
            assert points(line)[1] == [factor * value for value in run[prefix + quantity]]
    for row in (figure.axes[:2], figure.axes[2:]):
        assert row[0].get_ylim() == row[1].get_ylim()
    assert legend(figure) == ["train", "test"]
    assert faults(figure) == []


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("epochs", [1, 100])
def test_several_runs_without_overlap(count, epochs):
    runs = {f"cifar-cnn with learning rate 0.00{i}": history(epochs) for i in range(count)}
    figure = side_by_side(runs, "CIFAR-10")
    assert len(figure.axes) == 2 * count
    assert faults(figure) == []
    figure = overlay(runs, title="CIFAR-10: training accuracy, batch size 32, " * 3)
    assert len(figure.axes[0].lines) == count
    assert faults(figure) == []


def test_overlay_draws_one_quantity_of_each():
    runs = {"batch 32": history(5), "batch 64": history(3)}
    figure = overlay(runs, "accuracy", "test", "LeNet-5")
    (axes,) = figure.axes
    for line, run in zip(axes.lines, runs.values(), strict=True):
        assert points(line) == (run["epoch"], [100 * v for v in run["test_accuracy"]])
    assert axes.get_ylabel() == "test accuracy (%)"
    assert legend(figure) == list(runs)
    assert overlay(runs, "lr").axes[0].get_ylabel() == "learning rate"


def test_lines_differ_without_colour():
    runs = {str(i): history(5) for i in range(8)}
    lines = overlay(runs).axes[0].lines
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == 8
    markers = {line.get_marker() for line in curves(history(3, parts=("", "val_"))).axes[0].lines}
    assert len(markers) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (({},), "at least one run"),
        (({"a": history(2)}, "speed"), "a curve shows"),
        (({"a": history(2)}, "loss", "val"), "part must be train or test for loss of the run a"),
        (({"a": history(2)}, "lr", "test"), "part must be train for lr of the run a, got test"),
        (({"a": history(2)}, "seconds"), "quantity must be one of loss, accuracy, lr for"),
    ],
)
def test_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        overlay(*arguments)
