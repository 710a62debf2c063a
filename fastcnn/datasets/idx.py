"""The IDX file format of MNIST and its relatives.

A file is a header of big-endian 32-bit numbers, then the values, the last axis fastest. The
first number, the magic, is 0x0800 + the number of axes for unsigned bytes (2051 for images,
2049 for labels); one number per axis follows with its length. Source: "The IDX file format" on
the MNIST page, http://yann.lecun.com/exdb/mnist/. Files may be gzipped, whatever their name.
"""

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checksums import again
from .dataset import DataError

IMAGES, LABELS = 2051, 2049
_WHAT = {IMAGES: "images", LABELS: "labels"}
_UNSIGNED_BYTE = 0x08
_TYPES = {0x09: "signed byte", 0x0B: "short", 0x0C: "int", 0x0D: "float", 0x0E: "double"}
_GZIP = b"\x1f\x8b"
_WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
# Deflate cannot shrink data by more than 1032 to 1 (zlib's technical details), so a header that
# claims more than that is false, and is found out before memory is taken for it.
_DEFLATE_LIMIT = 1032
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class IdxFile:
    """One IDX file in memory.

    Attributes
    ----------
    raw : uint8 (bytes on disk,)
        Still gzipped if the file is.
    content : uint8 (bytes,)
        Unpacked, header included.
    values : array
        The view of `content` behind the header, shaped as the header says.
    """

    raw: np.ndarray
    content: np.ndarray
    values: np.ndarray


def read_images(path: Path) -> IdxFile:
    """Read uint8 images; `values` is (images, height, width).

    Raises
    ------
    DataError
        The file is not an IDX file of images, or is damaged, or holds none.
    """
    return _read(path, IMAGES)


def read_labels(path: Path, classes: int) -> IdxFile:
    """Read labels, each below `classes`; `values` is (labels,).

    Raises
    ------
    DataError
        The file is not an IDX file of labels, or is damaged, or holds none, or a label is out of
        range.
    """
    file = _read(path, LABELS)
    check_labels(path, file.values, classes)
    return file


def check_labels(path: Path, labels: np.ndarray, classes: int) -> None:
    """Raise DataError naming the first label that no class has."""
    if labels.max() >= classes:
        first = int(np.argmax(labels >= classes))
        raise DataError(
            f"{path}: label {labels[first]} of image {first:,} is out of range; the labels are 0 "
            f"to {classes - 1}. {again(path)}"
        )


def read_bytes(path: Path) -> np.ndarray:
    """Read a whole data file as a writable uint8 array; refuse what cannot be one.

    Raises
    ------
    DataError
        The file cannot be read, is empty, is a web page, or is over 1 GiB.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes, more than any dataset fastcnn reads")
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if raw.size == 0:
        raise DataError(f"{path} is empty (0 bytes). {again(path)}")
    if looks_like_web_page(raw[:512].tobytes()):
        raise DataError(
            f"{path} is a web page, not data: an error page or a login page was saved under "
            f"this name. {again(path)}"
        )
    return raw


def looks_like_web_page(start: bytes) -> bool:
    """Whether a file starts as HTML or XML does."""
    # Whole tags, not just "<": a CIFAR-10 file may start with label 9, a tab, and a pixel of 60.
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE)


def _read(path: Path, magic: int) -> IdxFile:
    raw = read_bytes(path)
    axes = magic & 0xFF
    header_bytes = 4 * (1 + axes)
    # The content decides, not the name: browsers unpack or rename what they save.
    packed = raw[:2].tobytes() == _GZIP
    if not packed:
        lengths = _parse_header(path, raw[:header_bytes].tobytes(), magic)
        _check_size(path, lengths, header_bytes, raw.size)
        return IdxFile(raw, raw, raw[header_bytes:].reshape(lengths))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw.data)) as stream:
            header = stream.read(header_bytes)
            lengths = _parse_header(path, header, magic)
            content = _unpack(path, stream, header, lengths, raw.size)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {_gzip_fault(error)}. {again(path)}") from error
    return IdxFile(raw, content, content[header_bytes:].reshape(lengths))


def _gzip_fault(error: Exception) -> str:
    """Say what a failed unpacking means; zlib's own words end in details nobody needs."""
    if isinstance(error, EOFError):
        return "the gzip data ends too early (an interrupted download?)"
    if "CRC" in str(error) or "length" in str(error):
        return "the gzip checksum (CRC) does not match its contents"
    return f"the gzip data cannot be unpacked ({error})"


def _unpack(
    path: Path, stream: gzip.GzipFile, header: bytes, lengths: tuple[int, ...], packed_bytes: int
) -> np.ndarray:
    """Unpack the values behind the header into one array of exactly the size it claims."""
    size = len(header) + math.prod(lengths)
    if size > packed_bytes * _DEFLATE_LIMIT:
        raise DataError(
            f"{path}: its header claims {_describe(lengths)}, {size:,} bytes, which a gzip file "
            f"of {packed_bytes:,} bytes cannot hold. {again(path)}"
        )
    content = np.empty(size, np.uint8)
    content[: len(header)] = np.frombuffer(header, np.uint8)
    filled = len(header)
    while filled < size and (count := stream.readinto(content.data[filled:])):
        filled += count
    # Reading on to the end is also what makes gzip compare its CRC.
    beyond = len(stream.read(1 << 20)) if filled == size else 0
    _check_size(path, lengths, len(header), filled + beyond)
    return content


def _parse_header(path: Path, header: bytes, magic: int) -> tuple[int, ...]:
    """Return the length of each axis, or say what the file is instead."""
    what = _WHAT[magic]
    number = int.from_bytes(header[:4], "big")
    if len(header) >= 4 and number != magic:
        if number in _WHAT:
            raise DataError(
                f"{path} holds {_WHAT[number]}, not {what} (magic {number}, expected {magic}): "
                "were the files of images and labels swapped?"
            )
        kind = number >> 8
        if kind in _TYPES:
            raise DataError(
                f"{path} holds values of IDX type {_TYPES[kind]} (magic {number:#010x}); fastcnn "
                f"reads unsigned bytes, magic {magic}"
            )
        if kind == _UNSIGNED_BYTE:
            raise DataError(
                f"{path} has {number & 0xFF} axes (magic {number}); {what} have "
                f"{magic & 0xFF}, magic {magic}"
            )
        raise DataError(
            f"{path} is not an IDX file of {what}: it starts with {number}, expected {magic}. "
            f"{again(path)}"
        )
    expected = 4 * (1 + (magic & 0xFF))
    if len(header) < expected:
        raise DataError(
            f"{path} is truncated: its header should have {expected} bytes, the file ends after "
            f"{len(header)}. {again(path)}"
        )
    lengths = tuple(int(length) for length in np.frombuffer(header[4:], ">u4"))
    if 0 in lengths:
        raise DataError(f"{path} is an empty dataset: its header says {_describe(lengths)}")
    if math.prod(lengths) > _MAX_BYTES:
        raise DataError(
            f"{path}: its header claims {_describe(lengths)}, {math.prod(lengths):,} bytes, more "
            f"than any dataset fastcnn reads. {again(path)}"
        )
    return lengths


def _check_size(path: Path, lengths: tuple[int, ...], header_bytes: int, got: int) -> None:
    """Compare the bytes there are with those the header announces."""
    expected = header_bytes + math.prod(lengths)
    if got < expected:
        raise DataError(
            f"{path} is truncated: its header says {_describe(lengths)}, {expected:,} bytes with "
            f"the header, but there are {got:,}. {again(path)}"
        )
    if got > expected:
        raise DataError(
            f"{path} has trailing bytes: its header says {_describe(lengths)}, {expected:,} bytes "
            f"with the header, but there are {got:,} or more. {again(path)}"
        )


def _describe(lengths: tuple[int, ...]) -> str:
    if len(lengths) == 1:
        return f"{lengths[0]:,} labels"
    return f"{lengths[0]:,} images of {lengths[1]}x{lengths[2]}"
