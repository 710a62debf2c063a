"""The drawings of the pages about ideas and layers: `python docs/drawings/draw.py [NAME ...]`.

Each function draws one, `NAME.png` beside this file. Nothing that is measured is drawn here.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY, PALE = "#4c6a92", "#e6b450", "#7fb69b", "#9a9a9a", "#eceff4"


def sheet(width, height, columns=1, rows=1):
    """A figure, and its panels as a flat list without axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
        axes.set_aspect("equal")
    return figure, panels


def cells(axes, values, left=0.0, top=0.0, size=1.0, marked=(), colour=ORANGE, fontsize=9):
    """A grid of cells with what stands in them; rows run downwards from (left, top)."""
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            axes.add_patch(
                Rectangle(
                    (left + column * size, top - (row + 1) * size), size, size,
                    facecolor=colour if (row, column) in marked else "white",
                    edgecolor="black", linewidth=0.8,
                )
            )  # fmt: skip
            axes.text(
                left + (column + 0.5) * size, top - (row + 0.5) * size, value,
                ha="center", va="center", fontsize=fontsize,
            )  # fmt: skip


def box(axes, left, bottom, width, height, text, colour=PALE, fontsize=9):
    """A rectangle with words in it."""
    axes.add_patch(
        Rectangle((left, bottom), width, height, facecolor=colour, edgecolor="black", linewidth=0.8)
    )
    axes.text(
        left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=fontsize
    )


def arrow(axes, start, end, colour="black", bend=0.0):
    """An arrow between two points."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=1.2,
            connectionstyle=f"arc3,rad={bend}", shrinkA=2, shrinkB=2,
        )
    )  # fmt: skip


def limits(axes, left, right, bottom, top):
    """What of the plane is seen."""
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def words(axes, x, y, text, fontsize=9, **options):
    """Centred text."""
    axes.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": fontsize, **options})


# --- layers -------------------------------------------------------------------------------------


def convolution():
    """A window makes one number; a pixel gets something back from every window it stood in."""
    figure, (left, right) = sheet(9.4, 3.9, columns=2)
    x = [["1", "0", "2", "1"], ["3", "1", "0", "2"], ["0", "2", "1", "1"], ["1", "0", "2", "0"]]
    w = [["1", "0", "2"], ["0", "1", "0"], ["1", "0", "1"]]
    window = {(r, c) for r in range(3) for c in range(1, 4)}
    cells(left, x, marked=window)
    cells(
        left,
        w,
        left=5.2,
        top=-0.5,
        marked={(r, c) for r in range(3) for c in range(3)},
        colour=GREEN,
    )
    total = sum(int(x[r][c + 1]) * int(w[r][c]) for r in range(3) for c in range(3))
    cells(left, [["", f"{total}"], ["", ""]], left=9.6, top=-1, marked={(0, 1)})
    words(left, 4.65, -2, "*", 14)
    words(left, 8.9, -2, "=", 14)
    for at, name in ((2, "x"), (6.7, "weight"), (10.6, "y")):
        words(left, at, 0.45, name, 10)
    left.set_title("forwards: nine products make one number", fontsize=10)
    limits(left, -0.2, 11.8, -4.9, 0.9)

    cells(right, [[""] * 4 for _ in range(4)], marked={(1, 2)})
    terms = [(p, q, 1 - p, 2 - q) for p in range(2) for q in range(2)]
    for at, (p, q, i, j) in enumerate(terms):
        bottom = -0.95 - 1.05 * at
        box(right, 6.2, bottom, 3.6, 0.85, f"dy[{p}, {q}] * weight[{i}, {j}]", GREEN, 8)
        arrow(right, (6.2, bottom + 0.42), (3.02, -1.5), GREY)
    words(right, 2, 0.45, "dx", 10)
    right.set_title("backwards: a pixel collects from its windows", fontsize=10)
    limits(right, -0.2, 10, -4.9, 0.9)
    return figure


def pooling():
    """A maximum hands its gradient to the number that won, a mean to all alike."""
    figure, panels = sheet(9.4, 3.4, columns=2)
    x = [["1", "5", "2", "2"], ["3", "4", "2", "0"]]
    for axes, title, y, dx, won in (
        (panels[0], "maximum", ["5", "2"], [["0", "10", "20", "0"], ["0", "0", "0", "0"]],
         {(0, 1), (0, 2)}),
        (panels[1], "mean", ["3.25", "1.5"], [["2.5", "2.5", "5", "5"], ["2.5", "2.5", "5", "5"]],
         {(r, c) for r in range(2) for c in range(4)}),
    ):  # fmt: skip
        cells(axes, x, marked=won)
        cells(axes, [y], left=6.2, top=-0.5)
        arrow(axes, (4.2, -1), (6, -1))
        cells(axes, dx, top=-3.6, marked=won, colour=GREEN)
        cells(axes, [["10", "20"]], left=6.2, top=-4.1)
        arrow(axes, (6, -4.6), (4.2, -4.6))
        for shift, names in ((0, ("x", "y")), (-3.6, ("dx", "dy"))):
            words(axes, 2, shift + 0.45, names[0], 10)
            words(axes, 7.2, shift - 0.05, names[1], 10)
        axes.plot([2, 2], [0, -2], color="black", linewidth=2.4)
        axes.plot([2, 2], [-3.6, -5.6], color="black", linewidth=2.4)
        axes.set_title(title, fontsize=10)
        limits(axes, -0.3, 8.7, -5.9, 0.9)
    return figure


def dense():
    """The three products, by their shapes."""
    figure, panels = sheet(9.4, 4.6, columns=1, rows=3)
    n, i, o = 3.2, 4.6, 2.6
    sizes = {
        "x": (n, i, "batch", "in"), "weight": (i, o, "in", "out"), "y": (n, o, "batch", "out"),
        "dy": (n, o, "batch", "out"), "weight.T": (o, i, "out", "in"),
        "dx": (n, i, "batch", "in"), "x.T": (i, n, "in", "batch"), "dweight": (i, o, "in", "out"),
    }  # fmt: skip
    colours = {"y": ORANGE, "dx": ORANGE, "dweight": ORANGE}
    for axes, row in zip(
        panels,
        (("x", "weight", "y"), ("dy", "weight.T", "dx"), ("x.T", "dy", "dweight")),
        strict=True,
    ):
        at = 0.0
        for name, sign in zip(row, ("@", "=", ""), strict=True):
            height, width, down, across = sizes[name]
            box(axes, at, -height / 2, width, height, name, colours.get(name, PALE), 10)
            words(axes, at - 0.28, 0, down, 7.5, rotation=90, color="0.35")
            words(axes, at + width / 2, height / 2 + 0.35, across, 7.5, color="0.35")
            words(axes, at + width + 0.75, 0, sign, 13)
            at += width + 2.0
        limits(axes, -0.8, 16.2, -2.5, 2.9)
    return figure


def normalisation():
    """Which numbers share a mean and a variance."""
    figure, panels = sheet(9.4, 2.9, columns=4)
    images, channels = 4, 4
    kinds = (
        ("BatchNorm", lambda n, c: c == 1, "a channel,\nall images"),
        ("LayerNorm", lambda n, c: n == 1, "an image,\nall channels"),
        ("GroupNorm", lambda n, c: n == 1 and c < 2, "an image,\na few channels"),
        ("InstanceNorm", lambda n, c: n == 1 and c == 1, "an image,\na channel"),
    )
    for axes, (name, belongs, text) in zip(panels, kinds, strict=True):
        marked = {(n, c) for n in range(images) for c in range(channels) if belongs(n, c)}
        cells(axes, [[""] * channels] * images, marked=marked)
        words(axes, 2, 0.4, "channels", 8.5)
        words(axes, -0.4, -2, "images", 8.5, rotation=90)
        words(axes, 2, -4.7, text, 9)
        axes.set_title(name, fontsize=10)
        limits(axes, -0.8, 4.3, -5.4, 0.8)
    return figure


def activations():
    """Curves, and under each its slope."""
    from fastcnn import layers

    x = np.linspace(-4, 4, 401)
    shown = {
        "ReLU": layers.ReLU(), "LeakyReLU (0.1)": layers.LeakyReLU(0.1), "ELU": layers.ELU(),
        "Sigmoid": layers.Sigmoid(), "Tanh": layers.Tanh(), "SiLU": layers.SiLU(),
        "GELU": layers.GELU(), "Mish": layers.Mish(), "Softplus": layers.Softplus(),
        "Hardswish": layers.Hardswish(),
    }  # fmt: skip
    figure = Figure(figsize=(9.4, 4.2), layout="constrained")
    panels = figure.subplots(2, 5, sharex=True, sharey=True).ravel()
    for axes, (name, layer) in zip(panels, shown.items(), strict=True):
        y = layer.forward(x, training=True).copy()
        axes.axhline(0, color=GREY, linewidth=0.6)
        axes.axvline(0, color=GREY, linewidth=0.6)
        axes.plot(x, y, color="#1b3a6b", label="y")
        axes.plot(
            x, layer.backward(np.ones_like(x)), color="#e07b28", linestyle="--", label="slope"
        )
        axes.set_title(name, fontsize=9)
        axes.set_ylim(-1.3, 3)
        axes.tick_params(labelsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def dropout():
    """The same numbers are dropped forwards and backwards; what is left is scaled."""
    figure, (axes,) = sheet(9.4, 2.6)
    mask = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]])
    x = np.array([[2, 3, 1, 4], [1, 2, 5, 2], [3, 4, 2, 1]])
    dy = np.array([[1, 2, 2, 1], [3, 1, 1, 2], [2, 2, 1, 3]])
    dropped = {(int(r), int(c)) for r, c in np.argwhere(mask == 0)}
    shown = [
        ("x", x, ()), ("y = x / 0.75, or 0", x * mask / 0.75, dropped),
        ("dy", dy, ()), ("dx = dy / 0.75, or 0", dy * mask / 0.75, dropped),
    ]  # fmt: skip
    for at, (name, values, marked) in enumerate(shown):
        left = at * 6.2 + (1.2 if at > 1 else 0)
        texts = [[f"{value:.3g}" for value in line] for line in values]
        cells(axes, texts, left=left, marked=marked, colour=GREY)
        words(axes, left + 2, 0.5, name, 9.5)
    for left in (4.2, 4.2 + 13.6):
        arrow(axes, (left, -1.5), (left + 1.8, -1.5))
    words(axes, 5.1, -3.7, "forwards", 9)
    words(axes, 18.7, -3.7, "backwards, the same cells", 9)
    limits(axes, -0.3, 24.2, -4.2, 1.1)
    return figure


def shapes():
    """Copies go forwards, sums come back."""
    figure, (left, right) = sheet(9.4, 3.1, columns=2)
    cells(left, [["3", "7"]], top=-1.5, size=1.4, marked={(0, 0)})
    cells(left, [["3", "3", "7", "7"], ["3", "3", "7", "7"]], left=5.4, top=-0.8, size=1.4,
          marked={(r, c) for r in range(2) for c in range(2)})  # fmt: skip
    arrow(left, (3, -2.2), (5.2, -2.2))
    left.set_title("forwards: copies (Upsample)", fontsize=10)
    limits(left, -0.3, 11.3, -4.6, 0)
    cells(right, [["1", "2", "0", "1"], ["4", "1", "3", "1"]], left=5.4, top=-0.8, size=1.4,
          marked={(r, c) for r in range(2) for c in range(2)}, colour=GREEN)  # fmt: skip
    cells(right, [["8", "5"]], top=-1.5, size=1.4, marked={(0, 0)}, colour=GREEN)
    arrow(right, (5.2, -2.2), (3, -2.2))
    words(right, 1.4, -3.5, "1 + 2 + 4 + 1", 9)
    right.set_title("backwards: sums over the copies", fontsize=10)
    limits(right, -0.3, 11.3, -4.6, 0)
    return figure


def losses():
    """How large each loss is, and how hard it pulls."""
    figure = Figure(figsize=(9.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    z = np.linspace(-4, 4, 401)
    for name, loss, style in (
        ("cross-entropy", np.log1p(np.exp(-z)), "-"),
        ("hinge, margin 1", np.maximum(0, 1 - z) / 2, "--"),
    ):
        left.plot(z, loss, style, label=name, color="#1b3a6b")
        left.plot(z, np.gradient(loss, z), style, label=f"{name}: slope", color="#e07b28")
    left.set_xlabel("score of the right class less that of the other")
    left.set_title("for classes (two of them)", fontsize=10)
    d = np.linspace(-3, 3, 401)
    for name, loss, style in (
        ("MSE", d * d, "-"), ("MAE", np.abs(d), "--"),
        ("Huber, delta 1", np.where(np.abs(d) < 1, d * d / 2, np.abs(d) - 0.5), ":"),
    ):  # fmt: skip
        right.plot(d, loss, style, label=name, color="#1b3a6b")
        right.plot(d, np.gradient(loss, d), style, label=f"{name}: slope", color="#e07b28")
    right.set_xlabel("output less target")
    right.set_title("for numbers", fontsize=10)
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=0.6)
        axes.set_ylim(-2.2, 4.2)
        axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


# --- ideas --------------------------------------------------------------------------------------


def batch():
    """Shapes on the way through `mnist-baseline`, and of the gradients on the way back."""
    from fastcnn import models

    model = models.build("mnist-baseline")
    shape, stations = (32, 1, 28, 28), [("images", (32, 1, 28, 28))]
    for layer in model.layers:
        shape = layer.output_shape(shape)
        name = type(layer).__name__
        if name == "ReLU":
            stations[-1] = (stations[-1][0] + "\nReLU", shape)
        else:
            stations.append((name, shape))
    figure, (axes,) = sheet(9.4, 3.0)
    width = 3.0
    for at, (name, shape) in enumerate(stations):
        left = at * (width + 0.75)
        box(axes, left, 0, width, 2.1, name, PALE if at else ORANGE, 8)
        text = " x ".join(map(str, shape))
        words(axes, left + width / 2, 2.75, text, 7)
        words(axes, left + width / 2, -0.65, text, 7, color="0.35")
        if at:
            arrow(axes, (left - 0.78, 1.5), (left + 0.03, 1.5), "#1b3a6b")
            arrow(axes, (left + 0.03, 0.6), (left - 0.78, 0.6), "#e07b28")
    end = len(stations) * (width + 0.75)
    box(axes, end, 0, width, 2.1, "loss", GREEN, 8)
    arrow(axes, (end - 0.78, 1.5), (end + 0.03, 1.5), "#1b3a6b")
    arrow(axes, (end + 0.03, 0.6), (end - 0.78, 0.6), "#e07b28")
    words(axes, end / 2, 3.8, "forwards: what each layer gives", 9.5, color="#1b3a6b")
    words(
        axes,
        end / 2,
        -1.7,
        "backwards: the gradient by it, of the same shape",
        9.5,
        color="#e07b28",
    )
    limits(axes, -0.4, end + width + 0.4, -2.3, 4.4)
    return figure


def tile():
    """One output at a time loads two numbers for each product; a tile loads few for many."""
    figure, (left, right) = sheet(9.4, 3.9, columns=2)
    for axes, rows, columns, title in (
        (left, 1, 1, "one sum"), (right, 6, 2, "a tile of 6 x 2 sums"),
    ):  # fmt: skip
        shown = [["+"] * columns] * rows
        cells(
            axes,
            shown,
            left=2.6,
            top=-1.6,
            marked={(r, c) for r in range(rows) for c in range(columns)},
        )
        cells(axes, [["pixel"]] * rows, left=0.2, top=-1.6, size=1.0, fontsize=7,
              marked={(r, 0) for r in range(rows)}, colour=GREEN)  # fmt: skip
        cells(axes, [["w"] * columns], left=2.6, top=0.2, marked={(0, c) for c in range(columns)},
              colour=GREEN)  # fmt: skip
        for row in range(rows):
            arrow(axes, (1.2, -2.1 - row), (2.6, -2.1 - row), GREY)
        for column in range(columns):
            arrow(axes, (3.1 + column, -0.8), (3.1 + column, -1.6), GREY)
        loads, products = rows + columns, rows * columns
        words(
            axes, 7.4, -3.2,
            f"each step:\n\n{loads} loads (green)\n{products} multiply-adds (yellow)\n\n"
            f"{products / loads:.2g} products\nfor each load", 9.5,
        )  # fmt: skip
        axes.set_title(title, fontsize=10)
        limits(axes, -0.2, 9.6, -7.9, 0.5)
    return figure


def winograd():
    """Four outputs of a window: 36 products by the formula, 16 by Winograd."""
    figure, (left, right) = sheet(9.4, 3.5, columns=2)
    cells(left, [[""] * 4] * 4, marked={(r, c) for r in range(3) for c in range(3)})
    cells(
        left,
        [[""] * 3] * 3,
        left=5.0,
        top=-0.5,
        colour=GREEN,
        marked={(r, c) for r in range(3) for c in range(3)},
    )
    cells(left, [["9", "9"], ["9", "9"]], left=9.4, top=-1, marked={(0, 0)})
    words(left, 4.5, -2, "*", 14)
    words(left, 8.7, -2, "=", 14)
    words(left, 5.7, -5.0, "9 products for each output: 36", 9.5)
    left.set_title("by the formula", fontsize=10)
    cells(right, [[""] * 4] * 4, marked={(r, c) for r in range(4) for c in range(4)})
    cells(
        right,
        [[""] * 4] * 4,
        left=5.0,
        colour=GREEN,
        marked={(r, c) for r in range(4) for c in range(4)},
    )
    cells(
        right,
        [["", ""], ["", ""]],
        left=11.4,
        top=-1,
        marked={(r, c) for r in range(2) for c in range(2)},
    )
    words(right, 4.5, -2, "×", 14)
    arrow(right, (9.2, -2), (11.2, -2))
    words(right, 2, 0.45, "window, transformed", 8.5)
    words(right, 7, 0.45, "filter, transformed", 8.5)
    words(right, 12.3, 0.45, "transformed back", 8.5)
    words(right, 6.7, -5.0, "place by place: 16 products for all four outputs", 9.5)
    right.set_title("by Winograd's F(2 x 2, 3 x 3)", fontsize=10)
    limits(left, -0.3, 11.7, -5.6, 0.9)
    limits(right, -0.3, 14.4, -5.6, 0.9)
    return figure


def bits():
    """Chunks of the batch are added in a fixed tree, whoever computes them."""
    figure, panels = sheet(9.4, 3.6, columns=2)
    for axes, threads, title in ((panels[0], 2, "two threads"), (panels[1], 4, "four threads")):
        colours = (BLUE, ORANGE, GREEN, "#b07aa1")
        places = [float(at) for at in range(8)]
        for at in places:
            box(axes, at * 1.5, 0, 1.2, 0.9, f"{int(at)}", colours[int(at) * threads // 8], 8.5)
        level, centres = 0.9, [at * 1.5 + 0.6 for at in places]
        while len(centres) > 1:
            merged = [(a + b) / 2 for a, b in zip(centres[::2], centres[1::2], strict=True)]
            for pair, centre in enumerate(merged):
                for child in centres[2 * pair : 2 * pair + 2]:
                    axes.plot([child, centre], [level, level + 0.95], color="black", linewidth=1)
                words(
                    axes,
                    centre,
                    level + 1.0,
                    "+",
                    10,
                    bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white"},
                )
            level, centres = level + 1.15, merged
        words(axes, centres[0], level + 0.65, "the sum over the batch", 9)
        words(axes, 5.9, -0.5, "chunks of the batch, coloured by who computes them", 8.5)
        axes.set_title(title, fontsize=10)
        limits(axes, -0.3, 12.1, -0.9, 5.7)
    return figure


DRAWINGS = (
    convolution, pooling, dense, normalisation, activations, dropout, shapes, losses,
    batch, tile, winograd, bits,
)  # fmt: skip


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for drawing in DRAWINGS:
        if not wanted or drawing.__name__ in wanted:
            drawing().savefig(HERE / f"{drawing.__name__}.png", dpi=110, bbox_inches="tight")
