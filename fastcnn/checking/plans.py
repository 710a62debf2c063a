"""What each kind of layer is checked with: settings, and inputs in the usual layouts."""

from dataclasses import dataclass
from typing import Any

from . import names


@dataclass(frozen=True)
class Plan:
    """One way to check a kind: settings by role, inputs in turn until one is taken."""

    words: str
    settings: dict[str, Any]
    inputs: tuple[tuple[int, ...], ...]
    needs: tuple[str, ...] = ()  # settings without which this plan says nothing new
    shift: float = 0.0


def _images(n: int, c: int, h: int, w: int) -> tuple[tuple[int, ...], ...]:
    return (n, c, h, w), (n, h, w, c), (c, h, w), (h, w, c), (h, w)


def plans(kind: str | None, name: str) -> list[Plan]:
    """What a kind of layer is checked with."""
    if kind == "conv":
        base = {"in_channels": 2, "out_channels": 4}
        return [
            Plan("", {**base, "kernel": 3, "stride": 1, "padding": 0}, _images(5, 2, 6, 5)),
            Plan("stride 2, padding 1", {**base, "kernel": 3, "stride": 2, "padding": 1},
                 _images(3, 2, 7, 5), ("stride", "padding")),
            Plan("stride 2 that leaves a remainder, one image", {
                **base, "kernel": 3, "stride": 2, "padding": 0}, _images(1, 2, 6, 8), ("stride",)),
            Plan("padding 1", {**base, "kernel": 3, "stride": 1, "padding": 1},
                 _images(2, 2, 4, 6), ("padding",)),
            Plan("kernel 2", {**base, "kernel": 2, "stride": 1, "padding": 0},
                 _images(1, 2, 5, 4), ("kernel",)),
        ]  # fmt: skip
    if kind == "pool":
        return [
            Plan("", {"kernel": 2, "stride": 2, "padding": 0}, _images(3, 2, 4, 6)),
            Plan("windows that overlap", {"kernel": 3, "stride": 2, "padding": 0},
                 _images(2, 3, 7, 5), ("kernel", "stride")),
            Plan("odd sizes, one image", {"kernel": 2, "stride": 2, "padding": 0},
                 _images(1, 2, 5, 7)),
            Plan("stride 1", {"kernel": 2, "stride": 1, "padding": 0}, _images(2, 2, 4, 3),
                 ("stride",)),
            Plan("padding 1, mostly negative x", {"kernel": 3, "stride": 2, "padding": 1},
                 _images(2, 2, 7, 5), ("padding",), -1.5),
        ]  # fmt: skip
    if kind == "dense":
        columns = {"in_features": 4, "out_features": 3}
        return [
            Plan("", columns, ((5, 4), (4, 5), (4,), (4, 1), (1, 4), (5, 3))),
            Plan("one sample", columns, ((1, 4), (4, 1), (1, 3))),
            Plan("as many outputs as inputs", {"in_features": 3, "out_features": 3},
                 ((5, 3), (3, 5), (3,)), ("out_features",)),
        ]  # fmt: skip
    if kind == "norm":
        bare = names.plain(name)
        vectors = Plan("vectors", {"features": 4, "groups": 2}, ((6, 4), (4, 6)))
        shape = (4, 3, 2) if bare.startswith(("layer", "ln")) else 4
        images = Plan("images", {"features": shape, "groups": 2}, ((5, 4, 3, 2), (5, 3, 2, 4)))
        if "1d" in bare:
            return [vectors]
        return (
            [images]
            if "2d" in bare or "instance" in bare or "spatial" in bare
            else [vectors, images]
        )
    if kind == "dropout":
        return [Plan("", {"rate": 0.4}, ((12, 10),))]
    if kind == "flatten":
        return [Plan("", {}, ((2, 3, 4, 5),))]
    if kind == "activation":
        rows = [
            Plan("", {"features": 4}, ((5, 4), (4,), (4, 5))),
            Plan("one sample", {}, ((1, 6),)),
        ]
        images = Plan("images", {}, ((2, 3, 4, 5),))
        return rows if "softmax" in names.plain(name) else [*rows, images]
    some = {"in_channels": 2, "out_channels": 4, "kernel": 3, "in_features": 4, "out_features": 3,
            "features": 4, "rate": 0.4, "stride": 1, "padding": 0}  # fmt: skip
    return [
        Plan("", some, ((5, 4), (5, 2, 6, 5), (5, 6, 5, 2), (4,), (6, 5), (2, 6, 5), (5, 3), (5,)))
    ]
