"""Links of a built site that lead nowhere: to a page or an anchor that is not there."""

import html
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_LINK = re.compile(r'\b(?:href|src)="(?!https?:|mailto:|data:)([^"]+)"')
_ANCHOR = re.compile(r'\bid="([^"]+)"')


class _Page(NamedTuple):
    links: set[str]
    anchors: set[str]


def dead(site: Path) -> list[str]:
    """A line for each link that leads nowhere."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        text = path.read_text("utf-8")
        links, anchors = ({html.unescape(x) for x in p.findall(text)} for p in (_LINK, _ANCHOR))
        pages[path.resolve()] = _Page(links, anchors | {""})
    found = []
    for path, page in pages.items():
        for link in sorted(page.links):
            name, _, anchor = link.partition("#")
            target = (path.parent / unquote(name.partition("?")[0])).resolve() if name else path
            to = pages.get(target)
            if unquote(anchor) not in to.anchors if to else not target.exists():
                found.append(f"{path.relative_to(site.resolve())}: {link}")
    return found
