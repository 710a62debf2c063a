"""Pictures: what is drawn, read back from the figure; and how it is written."""

import subprocess
import sys

import matplotlib.font_manager
import numpy as np
import pytest
from fontTools import fontBuilder
from fontTools.pens import ttGlyphPen

from fastcnn.plots import confusion, curves, predictions, save
from fastcnn.plots.drawing import drawn

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


def font(path, widths):
    """A font file with rectangles for letters."""
    builder = fontBuilder.FontBuilder(1000, isTTF=True)
    names = {letter: f"letter{number}" for number, letter in enumerate(widths)}
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    shapes = {}
    for name, width in [(".notdef", 500), *((names[letter], widths[letter]) for letter in widths)]:
        pen = ttGlyphPen.TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, 700), (width, 700), (width, 0)):
            pen.lineTo(point)
        pen.closePath()
        shapes[name] = pen.glyph()
    builder.setupGlyf(shapes)
    builder.setupHorizontalMetrics(dict.fromkeys(shapes, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Noto Sans SC", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_chinese_names_are_drawn_where_a_font_has_them(tmp_path, monkeypatch):
    def pictures():
        return {drawn(confusion([0, 1], [0, 0], class_names=[name, "b"])) for name in "中文"}

    manager = matplotlib.font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [f for f in manager.ttflist if f.name == "DejaVu Sans"])
    assert len(pictures()) == 1  # boxes
    font(tmp_path / "font.ttf", {"中": 300, "文": 900})
    manager.addfont(tmp_path / "font.ttf")
    assert len(pictures()) == 2
