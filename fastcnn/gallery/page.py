"""One page about training runs, with its pictures inside: it opens without a network."""

import base64
import html
import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .. import __version__, metrics
from ..config import Config, to_dict
from ..config.recipe import USUAL_LOSSES
from ..losses import CLASSIFICATION, REGRESSION
from ..metrics import Measured
from ..plots.drawing import drawn
from ..runs.saved import Saved
from .kinds import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100
# What numbers and labels are measured by, in words.
_WORDS = {
    "r2": "R2", "rmse": "root mean squared error", "mae": "mean absolute error",
    "exact_match": "exact match", "label_accuracy": "label accuracy", "macro f1": "macro F1",
    "f1": "F1",
}  # fmt: skip
_RATES = ("precision", "recall", "f1")
_LIBRARIES = ("numpy", "numba", "matplotlib", "pillow")
# Kind of picture -> what the page says about it.
_PICTURES = {
    "curves": "What was measured over the epochs.",
    "confusion": "How often each class (row) is taken for each (column).",
    "misclassified": "The mistakes of which the network was most certain.",
    "filters": "What the first convolution looks for.",
    "predictions": "Test images with what is true and what was predicted.",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem }
th, td { border-bottom: 1px solid #ccc; padding: 0.25rem 0.7rem; text-align: right }
th:first-child, td:first-child { text-align: left }
thead th { border-bottom: 2px solid #444 }
td small { color: #555 }
.wide { overflow-x: auto }
figure { margin: 1.5rem 0 }
img { max-width: 100%; height: auto }
pre { background: #f2f2f2; padding: 0.6rem 0.8rem; overflow-x: auto; font-size: 0.85rem }
@media print { details { display: none } figure { break-inside: avoid } }
"""


_Report = metrics.Report | metrics.Figures


def page(runs: Sequence[Saved], command: str) -> str:
    """The page, as HTML.

    Parameters
    ----------
    runs : sequence of Saved
        One or more runs.
    command : str
        What made the page, for its last lines.

    Raises
    ------
    ValueError
        If a run cannot be measured, as its images are gone.
    """
    names = [_name(run, runs) for run in runs]
    title = names[0] if len(runs) == 1 else f"{len(runs)} training runs"
    reports = [_measured(run) for run in runs]
    parts = [f"<h1>{_text(title)}</h1>", *_comparison(names, runs, reports)]
    for name, run, report in zip(names, runs, reports, strict=True):
        parts += _section(name if len(runs) > 1 else "", run, report)
    parts += _made(runs, command)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _name(run: Saved, runs: Sequence[Saved]) -> str:
    """What a run is called; its folder too, where names are not enough."""
    alone = sum(other.name == run.name for other in runs) == 1
    return run.name if alone else f"{run.name} ({run.path.name})"


def _measured(run: Saved) -> _Report:
    if run.model.output_names or run.model.task == CLASSIFICATION:
        data = run.dataset()
        return metrics.measure(run.logits(data.x_test), data.y_test, data.class_names)
    data = run.dataset(several=True)
    is_numbers = run.model.task == REGRESSION
    measure = metrics.measure_numbers if is_numbers else metrics.measure_labels
    return measure(run.answers(data.x_test)[0], data.y_test, data.class_names)


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    heads = "".join(f"<th>{_text(each)}</th>" for each in head)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n'
        f"</tbody></table></div>"
    )


def _share(number: Measured) -> str:
    return f"{number.value:.2%} <small>({number.low:.2%} to {number.high:.2%})</small>"


def _plain(number: Measured) -> str:
    return f"{number.value:.4f} <small>({number.low:.4f} to {number.high:.4f})</small>"


def _comparison(
    names: Sequence[str], runs: Sequence[Saved], reports: Sequence[_Report]
) -> Iterator[str]:
    """The numbers that count, a line per run, and the pictures of several."""
    counted = list(map(_counted, reports))
    heads = list(dict.fromkeys(head for row in counted for head in row))
    rows = [
        (
            _text(name), f"{run.model.parameters.count:,}", f"{run.history.epochs}",
            *(row.get(head, "") for head in heads),
        )
        for name, run, row in zip(names, runs, counted, strict=True)
    ]  # fmt: skip
    yield _table(("run", "parameters", "epochs", *heads), rows)
    yield (
        f"<p>Measured on {reports[0].count:,} test images with the network of the best epoch; in "
        f"brackets the interval that holds the number with 95 %.</p>"
    )
    if len(runs) > 1:
        yield _picture("overlay", runs, "Accuracy over the epochs.")


def _counted(report: _Report) -> dict[str, str]:
    """The numbers that count of a run, by their headings."""
    if isinstance(report, metrics.Figures):
        return {_WORDS.get(name, name): _plain(each) for name, each in report.overall.items()}
    return {
        "test accuracy": _share(report.accuracy),
        "test loss": _plain(report.loss),
        "macro F1": _plain(report.averages["macro"]["f1"]),
    }


def _classes(report: metrics.Report) -> Iterator[str]:
    """The classes of a run, each by itself."""
    yield "<h3>Classes</h3>"
    rows = [
        (_text(each), *(_plain(numbers[rate]) for rate in _RATES), f"{report.support[each]:,}")
        for each, numbers in report.classes.items()
    ]
    rows += [
        (f"<b>{each}</b>", *(_plain(numbers[rate]) for rate in _RATES), f"{report.count:,}")
        for each, numbers in report.averages.items()
    ]
    yield _table(("class", "precision", "recall", "F1", "images"), rows)
    yield f"<p>Expected calibration error: {_plain(report.calibration)}.</p>"


def _targets(report: metrics.Figures) -> Iterator[str]:
    """The numbers or labels of a run, each by itself."""
    if not report.each:
        return
    kinds = list(next(iter(report.each.values())))
    heads = [_WORDS.get(kind, kind) for kind in kinds]
    counts = ("images",) if report.support else ()
    rows = [
        (_text(name), *map(_plain, numbers.values()), *_count(report, name))
        for name, numbers in report.each.items()
    ]
    yield f"<h3>{'Labels' if counts else 'Numbers'}</h3>"
    yield _table(("", *heads, *counts), rows)


def _count(report: metrics.Figures, name: str) -> tuple[str, ...]:
    """How many images have a label."""
    return (f"{report.support[name]:,}",) if report.support else ()


def _section(name: str, run: Saved, report: _Report) -> Iterator[str]:
    if name:
        yield f"<h2>{_text(name)}</h2>"
    yield f"<p>{_text(run.dataset(several=True).source)}</p>"
    yield from _targets(report) if isinstance(report, metrics.Figures) else _classes(report)
    yield "<h3>Pictures</h3>"
    for kind, about in _PICTURES.items():
        yield _picture(kind, [run], about)
    yield f"<h3>The network</h3>\n<pre>{_text(run.model.summary())}</pre>"
    yield "<h3>Settings</h3>"
    usual, settings = to_dict(Config()), to_dict(run.config)
    usual["loss"] = USUAL_LOSSES[run.config.data.task]
    changed = {each: value for each, value in settings.items() if value != usual[each]}
    yield _table(("setting", "value"), [(_text(n), _text(v)) for n, v in changed.items()])
    others = [(_text(n), _text(v)) for n, v in settings.items() if n not in changed]
    summary = "<summary>Settings left as they usually are</summary>"
    yield f"<details>{summary}{_table(('setting', 'value'), others)}</details>"


def _picture(kind: str, runs: Sequence[Saved], about: str) -> str:
    """A picture with its caption; nothing where this run has no such picture."""
    try:
        figure = draw(kind, runs)
    except ValueError:
        return ""
    return (
        f'<figure><img alt="{_text(about)}" src="{_embedded(figure)}">'
        f"<figcaption>{_text(about)}</figcaption></figure>"
    )


def _embedded(figure: "Figure") -> str:
    return f"data:image/png;base64,{base64.b64encode(drawn(figure, dpi=_DPI)).decode()}"


def _made(runs: Sequence[Saved], command: str) -> Iterator[str]:
    """With what it was made, and how to make it again."""
    versions = [("fastcnn", __version__), ("Python", platform.python_version())]
    versions += [(name, importlib.metadata.version(name)) for name in _LIBRARIES]
    versions.append(("system", platform.platform()))
    yield "<h2>How it was made</h2>"
    yield _table(("", "version"), [(_text(n), _text(v)) for n, v in versions])
    lines = [
        f"python -m fastcnn.train --config {run.path / 'config.toml'} --out again" for run in runs
    ]
    yield f"<pre>{_text(chr(10).join([*lines, command]))}</pre>"
