"""One page about training runs, with its pictures inside: it opens without a network."""

import base64
import html
import importlib.metadata
import io
import platform
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .. import __version__, metrics
from ..config import Config, to_dict
from ..metrics import Measured
from ..runs.saved import Saved
from .kinds import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100
_RATES = ("precision", "recall", "f1")
_LIBRARIES = ("numpy", "numba", "matplotlib", "pillow")
# Kind of picture -> what the page says about it.
_PICTURES = {
    "curves": "Loss and accuracy over the epochs.",
    "confusion": "How often each class (row) is taken for each (column).",
    "misclassified": "The mistakes of which the network was most certain.",
    "filters": "What the first convolution looks for.",
    "predictions": "Test images with their true and predicted classes.",
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


def _measured(run: Saved) -> metrics.Report:
    data = run.dataset()
    return metrics.measure(run.logits(data.x_test), data.y_test, data.class_names)


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
    names: Sequence[str], runs: Sequence[Saved], reports: Sequence[metrics.Report]
) -> Iterator[str]:
    """The numbers that count, a line per run, and the pictures of several."""
    head = ("run", "parameters", "epochs", "test accuracy", "test loss", "macro F1")
    rows = [
        (
            _text(name), f"{run.model.parameters.count:,}", f"{run.history.epochs}",
            _share(report.accuracy), _plain(report.loss), _plain(report.averages["macro"]["f1"]),
        )
        for name, run, report in zip(names, runs, reports, strict=True)
    ]  # fmt: skip
    yield _table(head, rows)
    yield (
        f"<p>Measured on {reports[0].count:,} test images with the network of the best epoch; in "
        f"brackets the interval that holds the number with 95 %.</p>"
    )
    if len(runs) > 1:
        yield _picture("overlay", runs, "Accuracy over the epochs.")


def _section(name: str, run: Saved, report: metrics.Report) -> Iterator[str]:
    if name:
        yield f"<h2>{_text(name)}</h2>"
    data = run.dataset()
    yield f"<p>{_text(data.source)}</p>"
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
    yield "<h3>Pictures</h3>"
    for kind, about in _PICTURES.items():
        yield _picture(kind, [run], about)
    yield f"<h3>The network</h3>\n<pre>{_text(run.model.summary())}</pre>"
    yield "<h3>Settings</h3>"
    usual, settings = to_dict(Config()), to_dict(run.config)
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
    figure.draw_without_rendering()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


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
