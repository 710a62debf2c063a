"""What a check has found, in words."""

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_COLUMNS = 88


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Attributes
    ----------
    what : str
        Which result is wrong: "forward", "dW, the gradient by W", ...
    case : str
        For which input.
    numbers : str
        The first wrong index, expected and got.
    cause : str, optional
        The probable cause; None if no known mistake fits.
    pattern : str
        Where it is wrong, where that says something.

    Examples
    --------
    >>> finding = Finding("dx", "x (2, 3)", "expected 2, got 1", "a factor 2 is missing")
    >>> finding.lines()
    ['wrong: dx, x (2, 3)', '  expected 2, got 1', '  probable cause: a factor 2 is missing']
    """

    what: str
    case: str
    numbers: str
    cause: str | None
    pattern: str = ""

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"wrong: {self.what}, {self.case}"]
        if self.numbers:
            lines.append(f"  {self.numbers}")
        if self.cause:
            lines += _wrapped(f"probable cause: {self.cause}")
        elif self.pattern or " raised " not in self.numbers:
            lines += _wrapped(
                "no known mistake fits these numbers"
                + (f": {self.pattern}" if self.pattern else "")
            )
        return lines


@dataclass
class Report:
    """A layer that was checked; true if nothing is wrong.

    Attributes
    ----------
    name : str
        The class.
    what : list of str
        What was found in it: its kind, weights and gradients.
    findings : list of Finding
        The mistakes.
    notes : list of str
        What is no mistake, but worth knowing.
    cases : list of str
        The inputs it was checked with.

    Examples
    --------
    >>> report = Report("Twice")
    >>> report.add(Finding("dx", "x (2, 3)", "expected 2, got 1", "a factor 2 is missing"))
    >>> bool(report), report.causes
    (False, ['a factor 2 is missing'])
    """

    name: str
    what: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.findings

    @property
    def causes(self) -> list[str]:
        """The probable causes."""
        return [each.cause for each in self.findings if each.cause]

    def add(self, finding: Finding) -> None:
        """Note a mistake, once."""
        for place, each in enumerate(self.findings):
            if each.what == finding.what:  # later inputs only help where the first told nothing
                if each.cause is None and finding.cause:
                    self.findings[place] = finding
                return
            if finding.cause and each.cause == finding.cause:
                return
        self.findings.append(finding)

    def note(self, words: str) -> None:
        """Say something, once."""
        if words not in self.notes:
            self.notes.append(words)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.what[0] if self.what else 'not recognised'}"]
        for words in self.what[1:]:
            lines += _wrapped(words)
        for finding in self.findings:
            lines += [f"  {line}" for line in finding.lines()]
        for words in self.notes:
            lines += _wrapped(f"note: {words}")
        if not self.findings and self.cases:
            lines += _wrapped(f"right, {'; '.join(self.cases)}")
        return "\n".join(lines)


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(
        words, _COLUMNS - 4, initial_indent="  ", subsequent_indent="    ", break_long_words=False
    )


def difference(got: Any, expected: np.ndarray, tolerance: float) -> str | None:
    """The first wrong index with both numbers; None if nothing is wrong."""
    if got is None:
        return "expected an array, got nothing"
    got = np.asarray(got)
    if got.shape != expected.shape:
        return f"expected shape {expected.shape}, got {got.shape}"
    known = ~np.isnan(expected)
    scale = max(float(np.abs(expected[known]).max(initial=0)), 1e-12)
    with np.errstate(all="ignore"):
        wrong = known & ~(np.abs(got - expected) <= tolerance * scale)
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = f"first at [{', '.join(map(str, place))}]: " if place else ""
    count = f"; {int(wrong.sum())} of {int(known.sum())} numbers are wrong" if place else ""
    return f"{at}expected {_number(expected[place])}, got {_number(got[place])}{count}"


def _number(value: Any) -> str:
    return f"{float(value):.6g}"
