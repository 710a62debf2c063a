"""One picture file as pixels: upright, 8 bits, without transparency, of the size asked for."""

import contextlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

# The plugins of WebP and TIFF are imported by Pillow when asked for, which threads must not do.
from PIL import Image, ImageOps, TiffImagePlugin, WebPImagePlugin

SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm",
))  # fmt: skip
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)
_ORIENTATION = 0x0112  # EXIF
_LYING = (5, 6, 7, 8)  # its values for which height and width change places

# Tags of TIFF.
_WIDTH, _HEIGHT, _BITS, _BLACK_AND_WHITE = 0x0100, 0x0101, 0x0102, 0x0106
_WHITE_IS_0 = 0

# What tells the folder of a run, and that of a search.
_RESULTS = (("config.toml", "history.csv"), ("search.toml",))

Size = tuple[int, int]


class UnreadableError(ValueError):
    """A file that is no picture, or a damaged one; the message says why and names no file."""


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture that is meant to be seen."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_results(folder: Path) -> bool:
    """Whether a run or a search was written into a folder: what is drawn there is no data."""
    return any(all((folder / name).is_file() for name in names) for names in _RESULTS)


def walk(
    folder: Path, refuse: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files) of a folder and all below it, but hidden ones and results.

    Results of a folder that is one itself are read: somebody named it.

    Parameters
    ----------
    refuse : function, optional
        Told of a folder that cannot be read; default: it is left out.
    """
    for place, below, names in os.walk(folder, onerror=refuse):
        below[:] = sorted(
            name for name in below
            if not name.startswith(".") and not is_results(Path(place, name))
        )  # fmt: skip
        yield Path(place), names


def size_of(path: Path) -> Size:
    """(height, width) of an upright picture, from its header alone."""
    with _opened(path) as image:
        width, height = image.size
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow may have turned its size
            width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]
        return (width, height) if image.getexif().get(_ORIENTATION) in _LYING else (height, width)


def read(path: Path, size: Size | None = None, grey: bool = False) -> np.ndarray:
    """The pixels of a picture, uint8 (height, width, 3), or (height, width, 1) if `grey`.

    It is turned upright as its EXIF data says; transparent parts become white; grey of 16 bits is
    divided by 257, of 12 bits by 4095 / 255; of an animation the first frame is taken. With a
    `size` it is scaled to it as a whole, whatever its proportions.

    Raises
    ------
    UnreadableError
        If it cannot be read.
    """
    with _opened(path) as image:
        if size is not None:  # a JPEG is decoded at a half, a quarter or an eighth where that does
            image.draft(None, (2 * size[1], 2 * size[0]))
        upright = ImageOps.exif_transpose(image)
        plain = _eight_bits(upright, image).convert("L" if grey else "RGB")
        if size is not None:
            plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.array(plain).reshape(plain.height, plain.width, -1)


def _eight_bits(image: Image.Image, source: Image.Image) -> Image.Image:
    """Without more than 8 bits per value, and on white where it was transparent.

    source : what was opened, which knows its format; what is made of it does not
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and source.format in ("PNG", "PPM")):
        return Image.fromarray(_grey_of_16_bits(image, source))
    if image.mode in ("I", "F"):
        raise UnreadableError(
            "its pixels are numbers of 32 bits or with a sign, of which nobody says what is white"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image)
    return image


def _grey_of_16_bits(image: Image.Image, source: Image.Image) -> np.ndarray:
    """In 8 bits, with what Pillow does for other pictures, but not for these."""
    is_tiff = isinstance(source, TiffImagePlugin.TiffImageFile)
    bits = source.tag_v2.get(_BITS, (16,))[0] if is_tiff else 16  # 12 come as numbers up to 4095
    white, values = 2**bits - 1, np.asarray(image).astype(np.uint32)
    grey = ((values * 255 + white // 2) // white).astype(np.uint8)
    if is_tiff:
        return 255 - grey if source.tag_v2.get(_BLACK_AND_WHITE) == _WHITE_IS_0 else grey
    return np.where(values == image.info.get("transparency", -1), np.uint8(255), grey)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture in a file, whatever the file's name says."""
    try:
        # Opening a pipe waits for whoever writes into it, perhaps for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableError("it is a pipe, a socket or a device, not a file")
        # Of a file that is open Pillow maps nothing into memory: mapped TIFFs that are to be turned
        # come out sheared, and what is cut off while it is read would end the process.
        with open(path, "rb") as file, Image.open(file, formats=_FORMATS) as image:
            yield image
    except UnreadableError:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they come upon
        raise UnreadableError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no picture in a format that is read"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more pixels than the {Image.MAX_IMAGE_PIXELS:,} that are read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"it is damaged ({error or type(error).__name__})".replace("\n", " ")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Pillow's warnings about odd files are not for people who have a thousand of them.

    For the main thread, around all reading: filters of warnings belong to the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
