"""S1's table 7: the same network, and the same loop around it, in fastcnn and in PyTorch.

The two scripts in `scripts/` are what a user would write. They run alone, one after the other, in
processes of their own, and print their times.
"""

import ast
import importlib.metadata
import importlib.util
import io
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import numpy as np

import kernels

from .. import datasets
from ..comparing.children import RunError, last_line
from ..files import passing, write_text
from ..runs.folder import read_json
from .laboratory import Experiment, Laboratory, images_per_epoch
from .sections import NONE, Line, Section, seconds
from .verdicts import stated

_EPOCHS = 4  # the first is not counted
_BASELINE = Experiment("mnist-baseline")
NUMPY = _BASELINE.but(backend="im2col")
# Lines of code, seconds of an epoch, memory: of their NumPy code and of PyTorch.
THEIRS = {"fastcnn": ("about 1000", 62.0, "2 GB"), "pytorch": ("150", 1.2, "500 MB")}
_SCRIPTS = Path(__file__).with_name("scripts")
_SPACE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def table(lab: Laboratory) -> Section:
    """Lines of code, time per epoch without testing and memory; theirs are NumPy and PyTorch."""
    section = Section()
    has_torch = importlib.util.find_spec("torch") is not None
    times: dict[str, list[float]] = {}
    for name in ("fastcnn", "pytorch") if has_torch else ("fastcnn",):
        script = _SCRIPTS / f"mnist_{name}.py"
        measured = _run(lab, script)
        times[name] = measured["epochs"]
        lines, epoch, memory = THEIRS[name]
        told = "PyTorch " + importlib.metadata.version("torch") if name == "pytorch" else name
        section.lines += [
            Line(f"{told}: lines of code of the script", lines, f"{_lines_of_code(script)}"),
            seconds(f"{told}: time per epoch without testing", epoch, times[name]),
            Line(f"{told}: most memory", memory, f"{measured['kilobytes'] / 1000:,.0f} MB"),
            Line(f"{told}: test accuracy", NONE, f"{measured['accuracy']:.2%}"),
        ]
    behind = [path for part in (_SCRIPTS.parents[1], Path(kernels.__file__).parent)
              for path in part.rglob("*.py")]  # fmt: skip
    count = sum(map(_lines_of_code, behind))
    section.lines.append(Line("fastcnn: lines of code behind the script", NONE, f"{count:,}"))
    times["numpy"] = lab.epoch(NUMPY).training
    what = 'NumPy (backend "im2col"): time per epoch without testing'
    section.lines.append(seconds(what, THEIRS["fastcnn"][1], times["numpy"]))
    section.notes.append(
        "Theirs stand beside fastcnn for their NumPy code and beside PyTorch for PyTorch, whose "
        "1.2 s are of a GPU. Lines of code: not blank, no comments, no docstrings. The scripts are "
        "`fastcnn/reproduction/scripts/mnist_fastcnn.py` and `mnist_pytorch.py`."
    )
    claim = "frameworks are 50 to 100 times faster than NumPy"
    if not has_torch:
        section.notes.append(
            "PyTorch is not installed (`pip install '.[compare]'` in the folder of the clone)."
        )
        section.verdicts.append(stated(claim, None, "PyTorch is not installed"))
        return section
    ratio = statistics.median(times["numpy"]) / statistics.median(times["pytorch"])
    told = f"on the same cores {ratio:.2f} times (his are a processor and a GPU)"
    section.verdicts.append(stated(claim, 50 <= ratio <= 100, told))
    return section


def _run(lab: Laboratory, script: Path) -> dict[str, Any]:
    """What the script measured; kept in the laboratory."""
    images = images_per_epoch(lab.scaled(_BASELINE))
    kept = lab.folder / "timing" / f"{script.stem},images={images}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with passing(kept.with_name(f".{script.stem}.npz")) as arrays:
            _write_data(images, arrays, lab)
            command = [sys.executable, str(script), str(arrays), str(_EPOCHS)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with lab.children.process(command, **pipes) as child:
                told, said = child.communicate()
        if child.returncode:
            raise RunError(f"{script.name}: {last_line(said)}")
        write_text(kept, told)
    measured = read_json(kept)
    share = images / images_per_epoch(_BASELINE)
    return {**measured, "epochs": [each / share for each in measured["seconds"][1:]]}


def _write_data(images: int, path: Path, lab: Laboratory) -> None:
    """MNIST as both scripts read it: float32 pixels from 0 to 1."""
    data = datasets.load("mnist", lab.data_dir, lab.offline).limit(images, None)
    x_train, x_test = (x.astype(np.float32) / 255 for x in (data.x_train, data.x_test))
    np.savez(path, x_train=x_train, y_train=data.y_train, x_test=x_test, y_test=data.y_test)


def _lines_of_code(path: Path) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SPACE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)
