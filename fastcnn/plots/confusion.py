"""Which classes are taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import refuse_masked
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST = 22  # letters of the name of a class
_MOST_WRITTEN = 20  # classes whose numbers have room in the cells
_PAIRS = 8


def confusion(
    y: NDArray[Any] | Sequence[Any],
    predicted: NDArray[Any] | Sequence[Any] | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> "Figure":
    """The confusion matrix, and the most confused pairs as bars.

    Parameters
    ----------
    y : int (N,), or (classes, classes)
        True class of each image; or a matrix (`confusion_matrix`), with nothing predicted.
    predicted : int (N,) or float (N, classes)
        What `Sequential.predict` or `Sequential.predict_proba` says.
    class_names : sequence of str, optional
        Name of each class; default: its number.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure
        The matrix, the bars, the colour bar.

    Raises
    ------
    ValueError
        If the classes are not as many as the images, or not those that have names.

    Examples
    --------
    >>> figure = confusion([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"])
    >>> [label.get_text() for label in figure.axes[1].get_yticklabels()]
    ['cat as dog']
    """
    if np.ndim(y) == 2 and predicted is not None:  # confusion(matrix, class_names, title)
        title = title or str(class_names or "")
        predicted, class_names = None, [str(name) for name in predicted]
    if predicted is None:
        matrix = np.asarray(y)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"confusion: needs labels y and what is predicted, or a square matrix, got an "
                f"array of shape {matrix.shape} alone"
            )
    else:
        matrix = confusion_matrix(y, predicted, None if class_names is None else len(class_names))
    class_names = class_names or [str(k) for k in range(len(matrix))]
    classes = len(class_names)
    if classes != len(matrix):
        raise ValueError(f"confusion: got {classes} class_names for {len(matrix)} classes")
    size = min(10.0, max(4.8, 2.4 + 0.42 * classes))
    figure = style.new_figure(size + 5.5, size, title, of_images=True)
    left, right = figure.subplots(1, 2, width_ratios=(size, 4.5))
    class_names = [_shortened(str(name)) for name in class_names]
    _matrix(figure, left, matrix, class_names)
    _pairs(right, matrix, class_names)
    return figure


def _shortened(name: str) -> str:
    """A name of at most `_LONGEST` letters, both ends of it: longer ones leave no room."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[1 - half :]}"


def _matrix(
    figure: "Figure", axes: "Axes", matrix: NDArray[np.int64], class_names: Sequence[str]
) -> None:
    from matplotlib.colors import PowerNorm

    images = matrix.sum(axis=1, keepdims=True)
    shares = 100 * matrix / np.maximum(images, 1)
    # The root of the share: a mistake of 1 % would be as dark as none on an even scale.
    norm = PowerNorm(0.5, 0, 100)
    drawn = axes.imshow(shares, cmap=style.COLOURS, norm=norm)
    names = list(class_names)
    upright = max(map(len, names)) > 2
    axes.set_xticks(range(len(names)), names, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(names) <= _MOST_WRITTEN:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "black" if norm(shares[row, column]) > 0.55 else "white"
                axes.text(
                    column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8
                )
    figure.colorbar(drawn, ax=axes, label="share of the true class (%)", pad=0.02)


def _pairs(axes: "Axes", matrix: NDArray[np.int64], class_names: Sequence[str]) -> None:
    pairs = confused_pairs(matrix, _PAIRS)
    axes.set_title("most confused pairs", fontsize=11)
    if not pairs:
        axes.text(0.5, 0.5, "every image is right", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    images = matrix.sum(axis=1)
    counts = [count for _, _, count in pairs]
    axes.barh(range(len(pairs)), counts, **style.BAR)
    for place, (true, _, count) in enumerate(pairs):
        share = f"  {count} ({count / images[true]:.1%})"
        axes.text(count, place, share, va="center", fontsize=9)
    axes.set_yticks(
        range(len(pairs)), [f"{class_names[t]} as {class_names[p]}" for t, p, _ in pairs]
    )
    axes.set_xlim(0, 1.45 * max(counts))
    axes.set_ylim(_PAIRS - 0.5, -0.5)
    axes.set_xlabel("images (share of the true class)")
    style.limit_ticks(axes.xaxis, 6, whole=True)
    style.tidy(axes)
    axes.grid(visible=False, axis="y")


def confusion_matrix(
    y: NDArray[Any] | Sequence[Any],
    predicted: NDArray[Any] | Sequence[Any],
    classes: int | None = None,
) -> NDArray[np.int64]:
    """How often each class is taken for each: int64 (true class, predicted class).

    Parameters
    ----------
    y, predicted
        As for `confusion`.
    classes : int, optional
        How many there are; default: as many as are seen.

    Raises
    ------
    ValueError
        If the two do not have as many rows, or hold anything but classes.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1])
    array([[1, 1],
           [0, 1]])
    """
    refuse_masked("confusion: y", y)
    refuse_masked("confusion: predicted", predicted)
    labels, found = np.asarray(y), np.asarray(predicted)
    if found.ndim == 2:
        classes = classes or found.shape[1]
        found = found.argmax(axis=1)
    if labels.ndim != 1 or labels.shape != found.shape or not labels.size:
        raise ValueError(
            f"confusion: needs one class for each image, got labels of shape {labels.shape} and "
            f"predictions of shape {found.shape}"
        )
    for name, array in (("labels", labels), ("predictions", found)):
        if array.dtype.kind not in "iu":
            raise ValueError(f"confusion: the {name} must be whole numbers, got {array.dtype}")
    highest = int(max(labels.max(), found.max()))
    classes = classes or highest + 1
    if min(labels.min(), found.min()) < 0 or highest >= classes:
        raise ValueError(f"confusion: classes must lie between 0 and {classes - 1}")
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, found), 1)
    return matrix


def confused_pairs(matrix: np.ndarray, most: int = 5) -> list[tuple[int, int, int]]:
    """(true class, predicted class, how often) of the most frequent mistakes, most frequent first.

    Examples
    --------
    >>> confused_pairs(np.array([[5, 1], [2, 7]]))
    [(1, 0, 2), (0, 1, 1)]
    """
    mistakes = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-mistakes, axis=None, kind="stable")  # ties in the order of the classes
    pairs = np.column_stack(np.unravel_index(order, matrix.shape)).tolist()[:most]
    return [(t, p, int(mistakes[t, p])) for t, p in pairs if mistakes[t, p] > 0]
