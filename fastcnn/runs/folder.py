"""What lies in the folder of a run or of a search, and reading it without trusting it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKPOINT = "last.npz"
"""File of a run from which it is resumed."""

PLAN = "search.toml"
"""File in the folder of a search that says what is searched."""


def holds_search(folder: Path) -> bool:
    """Whether a folder holds a search."""
    return (folder / PLAN).is_file()


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a training run, or what is left of one."""
    return any((folder / name).is_file() for name in ("config.toml", "history.csv", "best.npz"))


def read_json(path: Path) -> dict[str, Any]:
    """The names and values in a JSON file of a run.

    Raises
    ------
    ValueError
        If it cannot be read or is damaged; one sentence, which names it.
    """
    return read_file(path, _from_json, "remove it, or train again")


def _from_json(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it does not hold names and values")
    return values


def read_file(path: Path, parse: Callable[[str], Any], advice: str = "train again") -> Any:
    """What `parse` makes of a text file; a ValueError that names the file if it cannot."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {advice}") from None
