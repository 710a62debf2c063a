"""The report: sections as Markdown, and the same as one page of HTML with the pictures inside."""

import base64
import dataclasses
import datetime
import html
import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernels.cores import available_cores

from .. import __version__, plots
from ..files import make_folder, write_text
from .laboratory import Scale
from .sections import Line, Section, Table
from .verdicts import FAILS, HOLDS, OPEN, Verdict

_HEADINGS = {
    "S1": "S1: optimisation strategies on MNIST",
    "S2": "S2: laboratory exercise on MNIST",
    "S3": "S3: three-layer CNN on CIFAR-10",
    "S4": "S4: LeNet-5 on MNIST",
    "S5": "S5: three-layer MLP on CIFAR-10",
    "targets": "What the networks should reach",
}
# The authors' figures have a page of their own, and so have those that we set ourselves.
PAGES = {"report": "The five systems, reproduced", "targets": "The accuracies we set ourselves"}
_EXPLANATION = (
    "*Theirs* is the figure of the author's document, *ours* the mean over the seeds, and the "
    "spread their standard deviation. Epoch times are the median and the range of three rounds, in "
    "which all networks took turns, on all cores, testing included; *speed-up* is their time over "
    "ours, each on its own machine unless it says otherwise.\n\n"
    "Beside an accuracy stands what became of theirs: *reached within the spread* if it is in the "
    "95 % interval of our mean (Student's t over the seeds; for a single seed, what a test set of "
    "that size can tell), else *exceeded* or *missed* by so much. A claim about a difference gets "
    "seeds until it is decided, at most 12, by an interval that may be looked at after every seed "
    "(docs/compare.md); what **cannot be told** says how large the difference can still be. An "
    "epoch counts as converged if its test accuracy is within half a point of the run's best.\n\n"
    "What every run measured is kept in `runs.jsonl` and `times.json` beside the report; from "
    "there the report is made again in seconds."
)
_QUICK = (
    "**This is a quick run**: few images, few epochs, one seed. It shows that every experiment "
    "works; its figures are not those of the full experiments, and decide nothing."
)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem }
th, td { border-bottom: 1px solid #ccc; padding: 0.25rem 0.6rem; text-align: left }
thead th { border-bottom: 2px solid #444 }
img { max-width: 100%; height: auto }
code { background: #f2f2f2; padding: 0 0.2rem }
"""


@dataclasses.dataclass(frozen=True)
class Report:
    """What is written: the command that made it, and each table with its section."""

    command: str
    scale: Scale
    sections: Mapping[Table, Section]
    notes: Sequence[str] = ()
    page: str = "report"

    def write(self, out: Path) -> None:
        """Write the page as Markdown and as HTML; the pictures have been saved before."""
        text = self.markdown()
        write_text(out / f"{self.page}.md", text)
        write_text(out / f"{self.page}.html", _page(text, out))

    def markdown(self) -> str:
        """The whole report."""
        parts = [f"# {PAGES[self.page]}", self._made(), _EXPLANATION]
        if not self.scale.decides:
            parts.append(_QUICK)
        parts += [f"Note: {note}" for note in self.notes]
        if any(section.verdicts for section in self.sections.values()):
            parts += ["## Summary", self._summary()]
        system = None
        for table, section in self.sections.items():
            if table.name.split(".")[0] != system:
                system = table.name.split(".")[0]
                parts.append(f"## {_HEADINGS[system]}")
            parts.append(f"### {table.name}: {table.title}")
            parts += _section(section)
        return "\n\n".join(parts) + "\n"

    def _made(self) -> str:
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba")
        )
        return (
            f"Made on {datetime.date.today().isoformat()} by\n\n```sh\n{self.command}\n```\n\n"
            f"with fastcnn {__version__}, Python {platform.python_version()}, {versions}, on "
            f"{available_cores()} cores ({_processor()})."
        )

    def _summary(self) -> str:
        rows = []
        for table, section in self.sections.items():
            words = [verdict.word for verdict in section.verdicts]
            counts = [str(words.count(word)) for word in (HOLDS, FAILS, OPEN)]
            rows.append([f"{table.name}: {table.title}", *counts])
        totals = [str(sum(int(row[i]) for row in rows)) for i in (1, 2, 3)]
        rows.append(["**all claims**", *totals])
        return _table(["table", HOLDS, FAILS, OPEN], rows)


def page_of(table: Table) -> str:
    """The page that a table belongs to."""
    system = table.name.split(".")[0]
    return system if system in PAGES else "report"


def save_pictures(section: Section, out: Path) -> None:
    """Write the pictures of a section into the folder pictures/, where the report expects them."""
    folder = out / "pictures"
    make_folder(folder)
    for picture in section.pictures:
        plots.save(picture.figure, folder / f"{picture.name}.png", dpi=100)


def _section(section: Section) -> list[str]:
    parts = []
    if section.lines:
        heads = ["", "theirs", "ours", "spread", "speed-up", "what became of it"]
        parts.append(_table(heads, [_cells(line) for line in section.lines]))
    if section.verdicts:
        rows = [_judged(verdict) for verdict in section.verdicts]
        parts.append(_table(["claim", "verdict", "why"], rows))
    parts += section.notes
    for picture in section.pictures:
        parts.append(f"![{picture.caption}](pictures/{picture.name}.png)\n\n*{picture.caption}*")
    return parts


def _cells(line: Line) -> list[str]:
    return [
        line.quantity, line.theirs, line.ours, line.spread, line.speedup,
        line.outcome,
    ]  # fmt: skip


def _judged(verdict: Verdict) -> list[str]:
    return [verdict.claim, f"**{verdict.word}**", verdict.evidence]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _processor() -> str:
    """What the processor is called; by LLVM where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return re.findall(r"model name\s*: (.*)", text)[0]
    except (OSError, IndexError):
        from llvmlite import binding

        return binding.get_host_cpu_name()


def _page(text: str, out: Path) -> str:
    """The Markdown as HTML that needs no other file."""
    from markdown_it import MarkdownIt

    def embedded(match: re.Match[str]) -> str:
        data = base64.b64encode((out / html.unescape(match[1])).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = MarkdownIt("commonmark").enable("table").render(text)
    body = re.sub(r'src="([^"]*\.png)"', embedded, body)
    title = html.escape(text.splitlines()[0].removeprefix("# "))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
