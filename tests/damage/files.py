"""Honest files of every kind that is read, and damage to them."""

import contextlib
import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

SMALL = ["--dataset", "digits", "--limit-train", "40", "--limit-test", "20", "--filters", "2"]
WORDS = ("nan", "inf", "-inf", "-1", "1e999", "", '"', "0x10", "[", "9" * 400, "\x00", "ä", "true")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 3, 2.5, 1e308, -1e-320, 10**30, "", "x", "../../x", [], {}, [[[]]], [1, "a"],
    {"a": {}}, float("nan"), float("inf"), "9" * 10_000,
)  # fmt: skip


def make(root: Path) -> None:
    """Runs, models and datasets, each small."""
    from fastcnn import Sequential
    from fastcnn.commands import entry
    from fastcnn.config import Config, replace
    from fastcnn.layers import Conv2D, Dense, Flatten, ReLU
    from fastcnn.runs.run import Run

    words = [*SMALL, "--validation", "0.2", "--track-gradients", "--ema", "0.9", "--quiet"]
    words += ["--keep", "1", "--out"]
    assert entry.run("train", [*words, str(root / "run"), "--epochs", "2"]) == 0
    settings = {"dataset": "digits", "model": "mnist-baseline", "limit_train": 40}
    settings |= {"limit_test": 20, "epochs": 2, "batch_size": 8, "filters": (2,), "ema": 0.9}
    steps = iter(range(100))
    run = Run(replace(Config(), settings), root / "part", quiet=True, keep=1, pictures=False)
    run.prepare()
    run.train(lambda: next(steps) == 7)
    colours = Sequential(Conv2D(3, 2, 3, 2), ReLU(), Flatten(), Dense(450, 10), seed=1)
    colours.input_shape = (3, 32, 32)
    colours.save(root / "colours.npz")
    (root / "data").mkdir()
    _datasets(root / "data")


def _datasets(data: Path) -> None:
    """Our four named kinds, and people's own."""
    dice = np.random.default_rng(5)
    grey = dice.integers(0, 256, (30, 28, 28)).astype(np.uint8)
    classes = (np.arange(30) % 10).astype(np.uint8)
    (data / "mnist").mkdir()
    for part in ("train", "t10k"):
        images = b"\0\0\x08\x03" + np.array(grey.shape, ">i4").tobytes() + grey.tobytes()
        labels = b"\0\0\x08\x01" + np.array([30], ">i4").tobytes() + classes.tobytes()
        (data / f"mnist/{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (data / f"mnist/{part}-labels-idx1-ubyte").write_bytes(labels)
    folder = data / "cifar-10-batches-bin"
    folder.mkdir()
    records = np.concatenate([classes[:, None], dice.integers(0, 256, (30, 3072))], axis=1)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / f"{name}.bin").write_bytes(records.astype(np.uint8).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    parts = {"x_train": grey, "y_train": classes, "x_test": grey, "y_test": classes}
    np.savez(data / "own.npz", **parts)
    rows = [",".join(map(str, (label, *image.ravel()))) for label, image in
            zip(classes, grey, strict=True)]  # fmt: skip
    names = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    (data / "own.csv").write_text("\n".join([names, *rows]) + "\n")
    from PIL import Image

    for label in range(10):
        (data / f"pictures/{label}").mkdir(parents=True)
        for number, ending in enumerate(("png", "jpg", "gif")):
            Image.fromarray(grey[number]).save(data / f"pictures/{label}/{number}.{ending}")


# --- damage ---------------------------------------------------------------------------------------


def damage(dice: random.Random, content: bytes) -> bytes:
    """The same bytes, but not quite."""
    size = len(content)
    at, end = sorted((dice.randrange(size), dice.randrange(size + 1)))
    if dice.random() < 0.3:  # where headers are
        at = min(at, dice.randrange(300))
        end = min(max(end, at + 1), at + 40)
    if dice.random() < 0.2:  # and the lists of members
        at, end = max(0, size - dice.randrange(1, 400)), size
    block, count = content[at:end], dice.randrange(1, 20)
    changed = bytearray(content)
    kind = dice.choice(
        ("bit", "bytes", "cut", "zeros", "ones", "repeated", "left out", "put in", "behind",
         "large", "nothing", "text", "text", "text", "lines")
    )  # fmt: skip
    if kind == "bit":
        changed[min(at, size - 1)] ^= 1 << dice.randrange(8)
    elif kind == "bytes":
        for place in (dice.randrange(size) for _ in range(count)):
            changed[place] = dice.randrange(256)
    elif kind == "cut":
        del changed[at:]
    elif kind in ("zeros", "ones"):
        changed[at:end] = (b"\0" if kind == "zeros" else b"\xff") * len(block)
    elif kind == "repeated":
        changed[at:at] = block
    elif kind == "left out":
        del changed[at:end]
    elif kind == "put in":
        changed[at:at] = dice.randbytes(count)
    elif kind == "behind":
        changed += dice.randbytes(count)
    elif kind == "large":
        changed[at : at + 4] = dice.choice(
            (b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\0\0\x80")
        )
    elif kind == "nothing":
        changed = bytearray(dice.choice((b"", b"\0" * size, dice.randbytes(min(size, 10_000)))))
    else:
        changed = bytearray(_text(dice, content, kind))
    return bytes(changed)


def _text(dice: random.Random, content: bytes, kind: str) -> bytes:
    """Damage to words, or lines."""
    if kind == "lines":
        lines = content.split(b"\n")
        at = dice.randrange(len(lines))
        lines[at:at] = dice.choice(([], [lines[dice.randrange(len(lines))]], [b"[" * 100_000]))
        if lines:
            del lines[min(at + dice.randrange(2), len(lines) - 1)]
        return b"\n".join(lines)
    at, separator = dice.randrange(3), b"," if content.count(b",") > 3 else b" "
    words = content.split(separator)
    word = dice.choice(WORDS) if dice.random() < 0.9 else dice.choice('x[{"') * 2**20
    words[dice.randrange(len(words)) if at else -1] = word.encode()
    return separator.join(words)


def edit(dice: random.Random, path: Path) -> None:
    """Another content of a model or checkpoint, with a checksum that fits."""
    from fastcnn.network import checkpoint

    header, groups = checkpoint.read(path)
    if dice.random() < 0.3:
        group = groups[dice.choice(sorted(groups))]
        name = dice.choice(sorted(group))
        array = group.pop(name)
        with contextlib.suppress(ValueError):
            group[name + dice.choice(("", "", "", "x"))] = dice.choice((
                array.astype(np.float64), array.astype(np.int8), array[..., None],
                array.ravel()[:1], np.full_like(array, dice.choice((0, 1))), array.astype(bool),
                np.float32(1),
                array * np.float32("nan"), np.zeros(0, np.float32), array.T,
            ))  # fmt: skip
        if dice.random() < 0.1:
            del groups[dice.choice(sorted(groups))]
    else:
        _edit_names(dice, header)
    checkpoint.write(path, header, groups)


def edit_json(dice: random.Random, path: Path) -> None:
    """Another content of a file of names and values."""
    values = json.loads(path.read_text())
    _edit_names(dice, values)
    path.write_text(json.dumps(values))


def _edit_names(dice: random.Random, tree: Any) -> None:
    """Another value somewhere in lists and dicts."""
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], (dict, list)) and node[key]:
                waiting.append(node[key])
    node, key = dice.choice(places)
    kind = dice.random()
    if kind < 0.2:
        del node[key]
    elif kind < 0.3 and isinstance(node, dict):
        node[dice.choice(("x", "type", "epoch"))] = dice.choice(VALUES)
    elif kind < 0.4 and isinstance(node, list):
        node.append(dice.choice(VALUES))
    elif key in ("epochs", "minutes"):  # more of them is no damage, but a long run
        node[key] = dice.choice((None, True, -1, 0, 0.001, "x", [], {}))
    else:
        node[key] = dice.choice(VALUES)
