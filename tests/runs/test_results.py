"""What a run leaves where pictures cannot be drawn."""

import importlib

import pytest

from fastcnn.runs import results


def test_no_folder_for_matplotlib(monkeypatch):
    def refuse(name):
        assert name == "fastcnn.plots.figure"
        raise OSError("Matplotlib requires access to a writable cache directory")

    assert results._can_draw()
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.warns(RuntimeWarning, match="no pictures are drawn: Matplotlib requires"):
        assert not results._can_draw()
