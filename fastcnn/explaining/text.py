"""A number explained to people, in English or Chinese."""

import textwrap
from collections.abc import Sequence

from ..languages import Language, Said
from ..terminal import columns, right
from .number import Number, Term

_COLUMNS = 80  # of a terminal
_AXES = (Said("channel", "通道"), Said("row", "行"), Said("column", "列"))


def as_text(number: Number, heading: str, terms: int, language: Language = "en") -> str:
    """The number, its terms from the largest on, what came back, where the code is.

    Parameters
    ----------
    number : Number
        What `explain` found.
    heading : str
        The first line.
    terms : int
        At most so many products are listed.
    language : str
        "en" or "zh".

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential
    >>> from fastcnn.explaining import explain
    >>> from fastcnn.layers import Dense
    >>> model = Sequential(Dense(2, 1))
    >>> model.layers[0].params["weight"] = [[0.5], [2.0]]
    >>> print(as_text(explain(model, np.float32([[4, 1]])), "of a network", terms=9))
    of a network
    Dense 1 (layer 0) is Dense(2, 1); its output is 1
        y = x @ weight + bias
    <BLANKLINE>
    unit 0:  4
      = 2 products; in double precision 4
    <BLANKLINE>
      input  value  weight  product
          0      4     0.5        2
          1      1       2        2
    ...
    """
    place, shape = number.place, " x ".join(map(str, number.shape))
    weights = "weight" in place.layer.params
    about = Said(
        f"{place.label} (layer {place.path}) is {place.layer!r}; its output is {shape}",
        f"{place.label}（第 {place.path} 层）是 {place.layer!r}；它的输出是 {shape}",
    )
    lines = [heading, about.of(language)]
    if number.formula:
        lines += textwrap.wrap(
            number.formula, _COLUMNS, initial_indent=4 * " ", subsequent_indent=8 * " "
        )
    lines += ["", f"{_spoken(number.at, language)}{_COLON.of(language)}  {number.value:.9g}"]
    lines.append(_made_of(number).of(language))
    shown = sorted(number.terms, key=lambda term: -abs(term.product))[:terms]
    if shown:
        lines += ["", *_table(number, shown, weights, language)]
    left, count = len(number.terms) - len(shown), len(number.terms)
    if left:
        more = Said(
            f"  and {left:,} smaller ones (--terms {count}, --json)",
            f"  还有 {left:,} 个较小的（--terms {count}，--json）",
        )
        lines.append(more.of(language))
    if number.gradient is not None:
        lines += ["", *(said.of(language) for said in _came_back(number.gradient, weights))]
    first, *rest = number.sources
    where = Said("computed in ", "代码位置 ").of(language)
    then = Said("by ", "").of(language).rjust(columns(where))
    return "\n".join([*lines, "", where + first, *(then + each for each in rest)]) + "\n"


_COLON = Said(":", "：")


def _spoken(at: Sequence[int], language: Language) -> str:
    names = _AXES if len(at) == 3 else (Said("unit", "单元"),) if len(at) == 1 else ()
    said = [f"{name.of(language)} {i}" for name, i in zip(names, at, strict=False)]
    return Said(", ", "，").of(language).join(said) or str(tuple(at))


def _made_of(number: Number) -> Said:
    count = len(number.terms)
    s = "" if count == 1 else "s"
    if not number.is_sum:
        return Said(
            f"  a curve of {count:,} input{s}; the slope in each:",
            f"  由 {count:,} 个输入经非线性函数得到；对每个输入的斜率：",
        )
    constant = f"{number.constant:.9g} + " if number.constant else ""
    return Said(
        f"  = {constant}{count:,} product{s}; in double precision {number.total:.9g}",
        f"  = {constant}{count:,} 个乘积；用双精度相加是 {number.total:.9g}",
    )


def _table(number: Number, shown: Sequence[Term], weights: bool, language: Language) -> list[str]:
    is_map = len(shown[0].at) == 3
    heads = [
        *(_AXES if is_map else (Said("input", "输入"),)),
        Said("input", "输入值") if is_map else Said("value", "输入值"),
        Said("weight", "权重") if weights else Said("slope", "斜率"),
    ]
    rows = [[*map(str, term.at), f"{term.x:.9g}", f"{term.slope:.9g}"] for term in shown]
    if number.is_sum:
        heads.append(Said("product", "乘积"))
        rows = [[*row, f"{term.product:.9g}"] for row, term in zip(rows, shown, strict=True)]
    rows.insert(0, [head.of(language) for head in heads])
    wide = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(right, row, wide)) for row in rows]


def _came_back(gradient: float, weights: bool) -> list[Said]:
    if gradient == 0:
        return [
            Said(
                "nothing came back: a layer behind it gives the same whatever it is",
                "没有梯度传回来：无论它是多少，后面有一层的输出都不变",
            )
        ]
    said = [
        Said(
            f"the loss of this image grows by {gradient:.9g} for each unit of it",
            f"它每增加 1，这张图像的损失增加 {gradient:.9g}",
        )
    ]
    if weights:
        said.append(
            Said(
                "a weight's gradient gets this times the weight's input from here",
                "每个权重的梯度从这里得到：这个增加量乘以该权重的输入",
            )
        )
    return said
