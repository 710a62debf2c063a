"""docs/layers.md: its code runs as it is printed."""

import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def code() -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "page.py"
    script.write_text(code())
    names = runpy.run_path(str(script))
    assert {"scaled.npz", "twice.npz"} <= {file.name for file in tmp_path.iterdir()}
    assert code().count("assert ") >= 5
    # The check that the page teaches finds a wrong gradient.
    scale, x = names["Scale"], names["x"]
    wrong = type("Wrong", (scale,), {"backward": lambda self, dy: 1.1 * scale.backward(self, dy)})
    assert names["check"](scale(3), x) < 1e-7 < 1e-3 < names["check"](wrong(3), x)


def test_every_method_of_the_table_is_one_of_a_layer() -> None:
    from fastcnn.layers import Layer

    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(named) == 6
    assert all(hasattr(Layer, name) for name in named)


def test_every_layer_is_in_the_table() -> None:
    from fastcnn import layers

    table = PAGE.read_text().partition("## All layers")[2]
    named = set(re.findall(r"\b([A-Za-z0-9]+)\b", " ".join(re.findall(r"`([^`]+)`", table))))
    assert set(layers.__all__) - {"Layer", "from_spec"} <= named
