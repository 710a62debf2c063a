"""Damaged and hostile ONNX files: a network or one sentence, in time, and in bounded memory.

    python -m tests.exchange.fuzz_onnx 10000

Small files of all that is read are changed: bytes, ends, and whole fields of the messages (sizes,
attributes, names, nodes). Exit code 1 if one raises anything but CheckpointError, has a sentence of
several lines, takes long or takes memory.
"""

import contextlib
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx

from fastcnn import Sequential, exchange
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, ReLU
from fastcnn.network.checkpoint import CheckpointError

from .test_onnx_in import FOREIGN, file_of

MOST_MEMORY, MOST_SECONDS = 2**28, 20.0
SIZES = (0, -1, 1, 2, 7, 2**16, 2**20, 2**31 - 1, 2**31, 2**40, 2**40 + 15, 2**62, -(2**63))


def bases(folder: Path) -> list[bytes]:
    """Files that are read, of a few hundred bytes to a few thousand."""
    path = folder / "base.onnx"
    found = [file_of(path, nodes, arrays).read_bytes() for nodes, arrays, _ in FOREIGN]
    row = [Conv2D(3, 2, 3), BatchNorm(2), ReLU(), Flatten(), Dense(24, 2)]
    model = Sequential(*row, input_shape=(5, 6, 3), data_format="channels_last")
    model.class_names = ("cat", "dog")
    for pixels in (True, False):
        exchange.save_onnx(model, path, pixels=pixels)
        found += 8 * [path.read_bytes()]
    return found


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Some bytes are others, or away, or there twice; or the end is missing."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, many = rng.randrange(len(found)), rng.choice((1, 1, 4, 50))
        kind = rng.randrange(5)
        if kind == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at] = rng.randrange(256)
        elif kind == 2:
            del found[at : at + many]
        elif kind == 3:
            found[at:at] = found[at : at + many]
        else:
            del found[at:]
        if not found:
            return b""
    return bytes(found)


def fields_changed(data: bytes, rng: random.Random) -> bytes:
    """Numbers and names in the messages are others, nodes stand elsewhere."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        node = rng.choice(graph.node)
        size = rng.choice(SIZES)
        kind = rng.randrange(10)
        with contextlib.suppress(ValueError, IndexError):  # not all messages have all fields
            if kind == 0:
                tensor = rng.choice(graph.initializer)
                tensor.dims[rng.randrange(len(tensor.dims))] = size
            elif kind == 1:
                shape = graph.input[0].type.tensor_type.shape
                shape.dim[rng.randrange(len(shape.dim))].dim_value = size
            elif kind == 2:
                attribute = rng.choice(node.attribute)
                if attribute.ints:
                    attribute.ints[rng.randrange(len(attribute.ints))] = size
                else:
                    attribute.i = size
            elif kind == 3:
                node.input[rng.randrange(len(node.input))] = rng.choice(names)
            elif kind == 4:
                node.output[0] = rng.choice(names)
            elif kind == 5:
                node.op_type = rng.choice(OPERATORS)
            elif kind == 6:
                graph.node.append(node)
            elif kind == 7 and model.metadata_props:
                entry = rng.choice(model.metadata_props)
                entry.value = rng.choice(NOTES)
            elif kind == 7:
                rng.choice(graph.initializer).data_type = rng.randrange(25)
            elif kind == 8:
                tensor = rng.choice(graph.initializer)
                tensor.int64_data.extend(rng.choices(SIZES[:-2], k=rng.randrange(6)))
                tensor.ClearField("raw_data")
            else:
                node.attribute.append(onnx.helper.make_attribute("axis", size))
    return model.SerializeToString()


NOTES = (
    "{}", "[]", "0", "null", "[[1], [NaN]]", "[[1, 2, 3], [0]]", "[" * 900 + "]" * 900, '"floats"',
    '{"type": "HuberLoss"}', '{"type": 3, "a": []}', "1e999", "9" * 5000, '["a", 3]',
    '"regression"',
)  # fmt: skip
OPERATORS = (
    "Add", "BatchNormalization", "Concat", "ConstantOfShape", "Conv", "Expand", "Flatten", "Gather",
    "Gemm", "If", "Loop", "MatMul", "MaxPool", "Mul", "Pad", "Range", "Reshape", "Resize", "Scan",
    "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip


def answers(path: Path, data: bytes) -> str | None:
    """What is wrong with the answer to a file, if anything is."""
    path.write_bytes(data)
    begun = time.monotonic()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    wrong = None
    try:
        exchange.load_onnx(path)
    except CheckpointError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            wrong = f"not one sentence: {error}"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    _, peak = tracemalloc.get_traced_memory()
    if peak - before > MOST_MEMORY:
        wrong = f"it took {(peak - before) // 2**20} MB"
    if time.monotonic() - begun > MOST_SECONDS:
        wrong = f"it took {time.monotonic() - begun:.0f} s"
    return wrong


def failures(count: int, folder: Path, seed: int = 0) -> Iterator[tuple[int, str, bytes]]:
    """(number, what is wrong, the file) of those among so many changed files that fail."""
    ways: tuple[Callable[[bytes, random.Random], bytes], ...] = bytes_changed, fields_changed
    kept: Any = bases(folder)
    tracemalloc.start()
    try:
        for number in range(count):
            rng = random.Random(seed * 1_000_003 + number)
            data = rng.choice(ways)(rng.choice(kept), rng)
            wrong = answers(folder / "changed.onnx", data)
            if wrong is not None:
                yield number, wrong, data
    finally:
        tracemalloc.stop()


def main() -> int:
    """Try so many files; returns the exit code."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, what, _ in failures(count, Path(folder)):
            wrong += 1
            print(f"{number}: {what}", flush=True)
    print(f"{count} files, {wrong} with a wrong answer")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
