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


@pytest.mark.parametrize("name", ["curves.svg", "curves.PDF"])
def test_save_takes_the_format_from_the_name(tmp_path, name):
    save(curves(HISTORY), tmp_path / name)
    start = (tmp_path / name).read_bytes()[:100]
    assert start.startswith(b"%PDF" if name.endswith("PDF") else b"<?xml")


def test_save_refuses_other_formats(tmp_path):
    with pytest.raises(ValueError, match=r"must end with \.png, \.svg or \.pdf"):
        save(curves(HISTORY), tmp_path / "curves.jpg")
    assert list(tmp_path.iterdir()) == []
