"""Is this file what it should be? Published checksums, and the manifest beside the files.

Two kinds of sums are known. The *published* sum of an official file is part of fastcnn, and
is the sum of the unpacked bytes, so that it holds for a file packed anew. The *manifest* is a
text file SHA256SUMS in the folder, in the format of the `sha256sum` program, with the sums of
the files as they lie there; fastcnn writes it when it downloads or unpacks files, and whoever
fills a folder by hand may write one with `sha256sum * > SHA256SUMS`.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import passing
from .dataset import DataError, listing

MANIFEST = "SHA256SUMS"
_MANIFEST_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_MANIFEST_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Published:
    """What is known of one official file: its unpacked size and the sum of these bytes.

    `sum` is "algorithm:hex digits", as in "sha256:65a5...".
    """

    name: str
    size: int
    sum: str


@dataclass(frozen=True)
class Checked:
    """One file of a folder, compared with the official one."""

    path: Path
    official: bool
    official_size: bool
    listed: bool


def digest(content: np.ndarray, algorithm: str = "sha256") -> str:
    """Return the checksum of an array's bytes in hexadecimal digits."""
    # The sums guard against accidents; a Python that restricts MD5 must be told so.
    return hashlib.new(algorithm, content.data, usedforsecurity=False).hexdigest()


def matches(content: np.ndarray, expected: Published) -> bool:
    """Whether the unpacked bytes are those of the official file."""
    algorithm, _, hexadecimal = expected.sum.partition(":")
    return content.nbytes == expected.size and digest(content, algorithm) == hexadecimal


def read_manifest(folder: Path) -> dict[str, str]:
    """Return {file name: SHA-256} of a folder's manifest, {} where there is none.

    Raises
    ------
    DataError
        The manifest cannot be read or a line is not of sha256sum's format.
    """
    path = folder / MANIFEST
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > _MANIFEST_MAX_BYTES:
            raise DataError(f"{path} is too large for a list of checksums; delete it")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it or mend it") from error
    sums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        found = _MANIFEST_LINE.fullmatch(line.rstrip())
        if found is None:
            raise DataError(
                f"{path}, line {number}: expected a SHA-256 sum, two spaces and a file name, "
                f"got {line[:80]!r}; delete the file or mend it"
            )
        sums[found[2]] = found[1].lower()
    return sums


def write_manifest(folder: Path, sums: dict[str, str]) -> None:
    """Add sums to a folder's manifest, through a temporary file that is renamed."""
    merged = read_manifest(folder) | sums
    text = "".join(f"{merged[name]}  {name}\n" for name in sorted(merged))
    with passing(folder / f".{MANIFEST}.{os.getpid()}") as partial:
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / MANIFEST)


def check_listed(path: Path, raw: np.ndarray, manifest: dict[str, str]) -> bool:
    """Compare a file as it lies in its folder with the manifest; False where it is not listed.

    Raises
    ------
    DataError
        The manifest lists another sum.
    """
    if path.name not in manifest:
        return False
    got = digest(raw)
    if got != manifest[path.name]:
        raise DataError(
            f"{path} is damaged or was changed: its SHA-256 is {got[:12]}..., but {MANIFEST} "
            f"beside it lists {manifest[path.name][:12]}.... {again(path)}"
        )
    return True


def check_file(
    path: Path,
    raw: np.ndarray,
    content: np.ndarray,
    expected: Published,
    manifest: dict[str, str],
) -> Checked:
    """Compare a file with its manifest (the `raw` bytes) and the official file (`content`).

    Raises
    ------
    DataError
        The manifest lists another sum.
    """
    return Checked(
        path=path,
        official=matches(content, expected),
        official_size=content.nbytes == expected.size,
        listed=check_listed(path, raw, manifest),
    )


def judge(title: str, files: Iterable[Checked]) -> tuple[str, ...]:
    """Decide about a folder whose files are sound in structure; return notes for the reader.

    A file of the official size with other bytes, among official files, is a damaged one. Where
    no file is official, or the size is another, the folder holds other data on purpose (a
    subset, images that went through JPEG): it is used, and the notes say so. A file listed in
    the manifest is what its owner meant it to be.

    Raises
    ------
    DataError
        A file of the official size differs while others are official.
    """
    files = list(files)
    others = [file for file in files if not file.official]
    if not others:
        return ()
    damaged = [file.path for file in others if file.official_size and not file.listed]
    if damaged and len(others) < len(files):
        is_or_are, its_or_their = ("is", "its") if len(damaged) == 1 else ("are", "their")
        raise DataError(
            f"{listing(damaged)} {is_or_are} damaged: {its_or_their} checksum is not that of the "
            f"official {title}, while the other files' are. {again(damaged[0])} If the difference "
            f"is meant, list the file in a {MANIFEST} beside it."
        )
    which = "the files" if len(others) == len(files) else listing([f.path.name for f in others])
    note = (
        f"Not the official {title}: {which} in {others[0].path.parent.name} have other contents, "
        "so results are not comparable with published ones."
    )
    return (note,)


def again(path: Path) -> str:
    """Return the advice that ends every message about a damaged file."""
    return f"Delete {path.name} to have it downloaded again, or use --dataset digits."
