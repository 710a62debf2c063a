"""A photo of a handwritten digit brought to what MNIST's images are.

Those are white on black, 28 x 28, the digit scaled to fit 20 x 20 as it stands, smoothed, and
placed so that its centre of mass is the image's (http://yann.lecun.com/exdb/mnist/).
"""

import numpy as np
from PIL import Image, ImageFilter

from .pictures import UnreadableError

_SIDE, _GLYPH = 28, 20
_WORKED = 400  # pixels of the longer side that are looked at
_STROKE = 8  # a stroke is an eighth of the digit's longer side in MNIST
_LEAST = 0.12  # contrast between ink and paper, as a share of white
_SPECK = 0.1  # of the largest patch of ink; smaller ones are dust


def mnist_like(grey: np.ndarray) -> np.ndarray:
    """A photo, uint8 (height, width), as uint8 (28, 28).

    Raises
    ------
    UnreadableError
        If nothing stands out from the background.
    """
    picture = Image.fromarray(grey)
    scale = _WORKED / max(picture.size)
    size = tuple(max(8, round(side * scale)) for side in picture.size)
    ink = _ink(picture.resize((size[0], size[1]), Image.Resampling.BILINEAR))
    threshold = _otsu(ink)
    mask = _without_specks(ink > threshold)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # Ink beside the chosen patches is dust; the soft edge of a stroke lies just outside of them.
    near = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    glyph = Image.fromarray((np.where(near, ink, 0)[top:bottom, left:right] * 255).astype(np.uint8))
    return _scaled(_thickened(glyph, mask[top:bottom, left:right]))


def from_drawing(drawing: np.ndarray) -> np.ndarray:
    """A drawing, bright on black without any dust, uint8 (height, width), as uint8 (28, 28).

    Raises
    ------
    UnreadableError
        If nothing is drawn.
    """
    rows, columns = (np.flatnonzero(drawing.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise UnreadableError("nothing is drawn")
    glyph = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _scaled(Image.fromarray(glyph))


def _scaled(glyph: Image.Image) -> np.ndarray:
    """A glyph that fits 20 x 20 as it stands, in the middle of the image."""
    longer = max(glyph.size)
    small = glyph.resize(
        (
            max(1, round(glyph.width * _GLYPH / longer)),
            max(1, round(glyph.height * _GLYPH / longer)),
        ),
        Image.Resampling.BOX,
    )
    return _centred(np.asarray(small).astype(np.float64))


def _ink(picture: Image.Image) -> np.ndarray:
    """How much darker (or brighter) than the paper around it each pixel is, 0 to 1."""
    values = np.asarray(picture).astype(np.float64) / 255
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    if np.median(border) > np.median([values.min(), values.max()]):  # dark on bright
        values = 1 - values
        picture = Image.fromarray((values * 255).astype(np.uint8))
    # Paper is what is left when strokes are taken away by a minimum wider than they are; shadows
    # change slowly, so they are part of it.
    wide = max(picture.size) // 8 * 2 + 1
    small = picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)))
    paper = small.filter(ImageFilter.MinFilter(max(3, wide // 4 | 1)))
    paper = paper.filter(ImageFilter.GaussianBlur(wide / 12)).resize(picture.size)
    ink = np.clip(values - np.asarray(paper) / 255, 0, None)
    highest = np.percentile(ink, 99.5)
    if highest < _LEAST:
        raise UnreadableError("nothing stands out from the background, so there is no digit in it")
    return np.clip(ink / highest, 0, 1)


def _otsu(values: np.ndarray) -> float:
    """The threshold between dark and bright (Otsu, "A Threshold Selection Method", 1979)."""
    counts, edges = np.histogram(values, 64, (0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(apart)])


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """The patches of ink that are no dust, which is far smaller than the largest."""
    labels = _patches(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= _SPECK * sizes.max())[labels] & mask


def _patches(mask: np.ndarray) -> np.ndarray:
    """The number of the connected patch that each pixel is in, 0 outside: largest label spreads."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        before = labels
        for axis in (0, 1):
            for flipped in (False, True):
                labels = _swept(labels, mask, axis, flipped)
        if np.array_equal(labels, before):
            return np.unique(labels, return_inverse=True)[1].reshape(mask.shape) * mask


def _swept(labels: np.ndarray, mask: np.ndarray, axis: int, flipped: bool) -> np.ndarray:
    """Labels carried along one direction through the mask."""
    labels, mask = (np.moveaxis(each, axis, 0)[:: -1 if flipped else 1] for each in (labels, mask))
    swept = labels.copy()
    for row in range(1, len(swept)):
        swept[row] = np.where(mask[row], np.maximum(swept[row], swept[row - 1]), 0)
    return np.moveaxis(swept[:: -1 if flipped else 1], 0, axis)


def _thickened(glyph: Image.Image, mask: np.ndarray) -> Image.Image:
    """Strokes of a thin pen made as thick as MNIST's, which are lost when scaled otherwise."""
    edges = sum(int((mask != np.roll(mask, 1, axis)).sum()) for axis in (0, 1))
    width = 2 * mask.sum() / max(edges, 1)
    missing = int(max(glyph.size) / _STROKE - width)
    if missing < 2:
        return glyph
    missing = min(missing // 2 * 2, max(glyph.size) // 4 // 2 * 2)
    larger = Image.new("L", (glyph.width + missing, glyph.height + missing))
    larger.paste(glyph, (missing // 2, missing // 2))
    return larger.filter(ImageFilter.MaxFilter(missing + 1))


def _centred(glyph: np.ndarray) -> np.ndarray:
    """A glyph in the middle of the image, by its centre of mass, as bright as MNIST's."""
    glyph = glyph * (255 / glyph.max())
    height, width = glyph.shape
    weights = glyph / glyph.sum()
    row = (weights.sum(axis=1) * np.arange(height)).sum() + 0.5
    column = (weights.sum(axis=0) * np.arange(width)).sum() + 0.5
    top = int(np.clip(round(_SIDE / 2 - row), 0, _SIDE - height))
    left = int(np.clip(round(_SIDE / 2 - column), 0, _SIDE - width))
    image = np.zeros((_SIDE, _SIDE), np.uint8)
    image[top : top + height, left : left + width] = np.round(glyph).astype(np.uint8)
    return image
