"""S1's table 7: the same network, and the same loop around it, in fastcnn and in PyTorch.

The two scripts in `scripts/` are what a user would write. They run alone, one after the other, in
processes of their own, and print their times.
"""

import ast
import importlib.metadata
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np

import kernels

from .. import datasets
from ..results import write_text
from .laboratory import Experiment, Laboratory, ReproductionError
from .sections import NONE, Line, Section, seconds
from .verdicts import stated

_EPOCHS = 4  # the first is not counted
_SCRIPTS = Path(__file__).with_name("scripts")
_MINUTES = 10  # longest that a script may take
_SPACE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def table(lab: Laboratory) -> Section:
    """Lines of code, time per epoch and memory, ours and PyTorch's."""
    section = Section()
    has_torch = importlib.util.find_spec("torch") is not None
    runs = {}
    for name in ("fastcnn", "pytorch") if has_torch else ("fastcnn",):
        script = _SCRIPTS / f"mnist_{name}.py"
        runs[name] = _run(lab, script)
        told = "PyTorch " + importlib.metadata.version("torch") if name == "pytorch" else name
        section.lines += [
            Line(f"{told}: lines of code of the script", NONE, f"{_lines_of_code(script)}"),
            seconds(f"{told}: time per epoch, training alone", None, runs[name]["epoch"]),
            Line(f"{told}: most memory", NONE, f"{runs[name]['kilobytes'] / 1000:,.0f} MB"),
            Line(f"{told}: test accuracy", NONE, f"{runs[name]['accuracy']:.2%}"),
        ]
    behind = [path for part in (_SCRIPTS.parents[1], Path(kernels.__file__).parent)
              for path in part.rglob("*.py")]  # fmt: skip
    count = sum(map(_lines_of_code, behind))
    section.lines.append(Line("fastcnn: lines of code behind the script", NONE, f"{count:,}"))
    numpy_epoch = lab.seconds_per_epoch(Experiment("mnist-baseline", {"backend": "im2col"}))
    section.lines.append(
        seconds('NumPy (backend "im2col"): time per epoch with testing', None, numpy_epoch)
    )
    section.notes.append(
        "Lines of code: not blank, no comments, no docstrings. The scripts are "
        "`fastcnn/reproduction/scripts/mnist_fastcnn.py` and `mnist_pytorch.py`."
    )
    if not has_torch:
        section.notes.append("PyTorch is not installed (`pip install 'fastcnn[compare]'`).")
    ratio = runs["pytorch"]["epoch"] / runs["fastcnn"]["epoch"] if has_torch else None
    section.verdicts.append(
        stated(
            "PyTorch is faster than NumPy code",
            None if ratio is None else ratio < 1,
            f"PyTorch's epoch takes {ratio:.2f} times as long as fastcnn's" if ratio else
            "PyTorch is not installed",
        )
    )  # fmt: skip
    return section


def _run(lab: Laboratory, script: Path) -> dict[str, float]:
    """What the script measured; kept in the laboratory."""
    kept = lab.folder / "timing" / f"{script.stem}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        arrays = kept.with_name(f".{script.stem}.npz")
        try:
            _write_data(lab, arrays)
            command = [sys.executable, str(script), str(arrays), str(_EPOCHS)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60 * _MINUTES)
        finally:
            arrays.unlink(missing_ok=True)
        if done.returncode:
            raise ReproductionError(f"{script.name} failed: {done.stderr.strip().splitlines()[-1]}")
        write_text(kept, done.stdout)
    measured = json.loads(kept.read_text(encoding="utf-8"))
    return {**measured, "epoch": statistics.median(measured["seconds"][1:])}


def _write_data(lab: Laboratory, path: Path) -> None:
    """MNIST as both scripts read it: float32 pixels from 0 to 1."""
    limit = lab.scale.changes.get("limit_train")
    data = datasets.load("mnist", lab.data_dir).limit(limit, None)
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
