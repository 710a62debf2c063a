"""How the site is built: `python -m sphinx -W --keep-going docs site`, offline.

The pages are those that people read in the repository. Pages from outside this folder are copied
to `copied/`, and links between all of them are bent to where they are; `code_links` makes links of
the names of code.
"""

import inspect
import itertools
import os
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]
os.environ.setdefault("MPLBACKEND", "Agg")

import code_links  # noqa: E402
import site_links  # noqa: E402
from sphinx.util import logging  # noqa: E402

import fastcnn  # noqa: E402

project = "fastcnn"
author = copyright = "the authors of fastcnn"
release = version = fastcnn.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "fastcnn"
exclude_patterns = ["search.md"]

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it
default_role = "literal"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Pages from elsewhere in the repository -> what they are called here.
COPIED = {
    "README.md": "copied/readme.md",
    "README.zh-CN.md": "copied/readme.zh-CN.md",
    "CONTRIBUTING.md": "copied/contributing.md",
    "CHANGELOG.md": "copied/changelog.md",
    "kernels/README.md": "copied/kernels.md",
    "bench/README.md": "copied/bench.md",
    "docs/search.md": "copied/searching.md",  # Sphinx has a page of that name
}
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def _bent(text: str, folder: Path) -> str:
    """The text with its links as they are needed here; `folder` is where they were written."""

    def bend(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        if "://" in target:
            return match[0]
        place = (folder / target).resolve()
        inside = os.path.relpath(place, ROOT)
        if inside in COPIED:
            return f"{before}/{COPIED[inside]}{anchor or ''}{after}"
        if place.is_relative_to(HERE):
            return f"{before}/{place.relative_to(HERE).as_posix()}{anchor or ''}{after}"
        raise ValueError(f"{folder}: a link to {target}, which the site does not have")

    return _LINK.sub(bend, text)


def _read(app, docname, source):
    if docname.startswith("api/"):
        return
    original = next((name for name, page in COPIED.items() if page[:-3] == docname), None)
    folder = (ROOT / original).parent if original else (HERE / docname).parent
    if not docname.startswith("copied/code/"):
        source[0] = code_links.linked(_bent(source[0], folder))


def _copy(app):
    shutil.rmtree(HERE / "copied", ignore_errors=True)
    (HERE / "copied" / "code").mkdir(parents=True)
    pages = [*HERE.rglob("*.md"), *(ROOT / name for name in COPIED)]
    texts = [page.read_text("utf-8") for page in pages]
    for name, text in code_links.code_pages(texts).items():
        (HERE / f"{name}.md").write_text(text, "utf-8")
    for name, page in COPIED.items():
        (HERE / page).write_text((ROOT / name).read_text("utf-8"), "utf-8")


def _formulas(app, what, name, obj, options, lines):
    """Indented lines of a docstring are formulas, and stand as they are; of modules a sentence."""
    if what == "module":
        lines[:] = [*itertools.takewhile(str.strip, lines), ""]
    found = []
    for line in lines:
        above = next((each for each in reversed(found) if each), "")
        if line.startswith("    ") and found and not found[-1] and above[:1] not in (" ", "-", ":"):
            found += ["::", ""]
        found.append(line)
    lines[:] = found


def _skipped(app, what, name, obj, skip, options):
    """What scikit-learn adds to estimators is described there."""
    return True if re.fullmatch(r"set_\w+_request|get_metadata_routing", name) else None


def _signature(app, what, name, obj, options, signature, returned):
    """Of a class that of its constructor: layers have a `__new__` that looks at names only."""
    if what != "class" or signature is None:
        return None
    taken = inspect.signature(obj)
    plain = [each.replace(annotation=each.empty) for each in taken.parameters.values()]
    return str(inspect.Signature(plain)), None


def _linked(app, error):
    """Sphinx knows only some of the links: say which others lead nowhere, and fail."""
    if error is None and app.builder.format == "html":
        for link in site_links.dead(Path(app.outdir)):
            logging.getLogger(__name__).warning("a link that leads nowhere: %s", link)
            app.statuscode = 1


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skipped)
    app.connect("autodoc-process-docstring", _formulas, priority=400)
    app.connect("config-inited", lambda app, config: _copy(app))
    app.connect("source-read", _read)
    app.connect("build-finished", _linked)
