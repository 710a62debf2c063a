"""Pictures: what is drawn, read back from the figure; and how it is written."""

import subprocess
import sys

import numpy as np
import pytest

from fastcnn.plots import curves, predictions, save

HISTORY = {
    "epoch": [1, 2, 3],
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.3, 0.6, 0.8],
    "test_loss": [1.9, 1.1, 0.7],
    "test_accuracy": [0.35, 0.55, 0.75],
}


def test_curves_draw_the_numbers():
    figure = curves(HISTORY, "a title", best_epoch=2)
    left, right = figure.axes
    train, test, best = left.lines
    assert list(train.get_xdata()) == [1, 2, 3]
    assert list(train.get_ydata()) == [2.0, 1.0, 0.5]
    assert list(test.get_ydata()) == [1.9, 1.1, 0.7]
    assert list(right.lines[0].get_ydata()) == pytest.approx([30, 60, 80])
    assert list(best.get_xdata()) == [2, 2]
    assert (train.get_linestyle(), test.get_linestyle()) == ("-", "--")
    assert "nats" in left.get_ylabel()
    assert "%" in right.get_ylabel()
    assert left.get_xlabel() == right.get_xlabel() == "epoch"
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["train", "test", "best epoch"]


def test_one_epoch_is_visible():
    figure = curves({name: values[:1] for name, values in HISTORY.items()})
    (train, _test) = figure.axes[0].lines
    assert train.get_marker() == "o"
    assert figure.axes[0].get_ylim()[1] > 2.0


@pytest.mark.parametrize("channels", [1, 3])
def test_predictions_mark_right_and_wrong(channels):
    images = np.zeros((7, channels, 8, 8), np.uint8)
    labels = np.arange(7)
    predicted = labels.copy()
    predicted[3] = 0
    names = [f"class {k}" for k in range(7)]
    figure = predictions(images, labels, predicted, names, columns=5)
    assert len(figure.axes) == 10
    titles = [axes.title for axes in figure.axes[:7]]
    assert "true: class 3\npredicted: class 0 ✗" in titles[3].get_text()
    assert "predicted: class 4 ✓" in titles[4].get_text()
    assert titles[3].get_color() != titles[4].get_color()
    assert figure.axes[3].spines["left"].get_visible()
    assert not figure.axes[4].spines["left"].get_visible()


def test_save_leaves_a_png_and_nothing_else(tmp_path):
    save(curves(HISTORY), tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlib_is_imported_late():
    code = "import fastcnn.plots, sys; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
