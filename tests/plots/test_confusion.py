"""Confusion matrices with names that are long."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from fastcnn.plots import confusion


def test_long_names_leave_room_for_the_picture():
    names = [f"a very long name of a class that nobody would type {i}" for i in range(12)]
    figure = confusion(np.eye(12, dtype=int)[::-1], names)
    for axes in figure.axes:
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            assert len(label.get_text()) <= 2 * 22 + len(" as ")
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(shown)) == 12 and shown[11].endswith("type 11")
    short = confusion(np.eye(2, dtype=int), ["cat", "a dog of 22 letters!!!"])
    assert [t.get_text() for t in short.axes[0].get_yticklabels()][1] == "a dog of 22 letters!!!"
