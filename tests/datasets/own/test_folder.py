"""A folder of pictures per class: what is read, what is left out, and the cache."""

import errno
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastcnn import datasets
from fastcnn.datasets.own import cache, parts, pictures
from fastcnn.runs.folder import HISTORY, PLAN, SETTINGS


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The user's cache, away from that of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users-cache"))


def picture(path: Path, colour=(200, 10, 60), size=(20, 16), mode="RGB", **options) -> Path:
    """A picture of one colour; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


def pets(root: Path, counts=(("cat", 6), ("dog", 6)), **options) -> Path:
    for index, (name, count) in enumerate(counts):
        for number in range(count):
            picture(root / name / f"{number}.png", (10 + 40 * index, number, 90), **options)
    return root


def test_every_format_and_mode_is_read(tmp_path):
    root = tmp_path / "mixed"
    for ending in ("png", "jpg", "bmp", "gif", "webp", "tif"):
        picture(root / "red" / f"a.{ending}", (250, 0, 0))
        picture(root / "green" / f"a.{ending.upper()}", (0, 250, 0))
    for mode in ("L", "1", "P", "LA", "RGBA"):
        picture(root / "grey" / f"{mode}.png", (250, 250, 250), mode=mode)
    Image.fromarray(np.full((9, 9), 65000, np.uint16)).save(root / "grey" / "deep.png")
    data = datasets.load(root, size=12)
    assert data.class_names == ("green", "grey", "red")
    assert data.x_train.shape[1:] == (3, 12, 12) and data.x_train.dtype == np.uint8
    assert len(data.x_train) + len(data.x_test) == 18
    assert not any("cannot be read" in note for note in data.notes)
    for x, y in zip(data.x_train, data.y_train, strict=True):
        red, green = x[0].mean() > 128, x[1].mean() > 128
        assert (red, green) == [(False, True), (True, True), (True, False)][y]


def test_pixels_are_those_of_the_file(tmp_path):
    values = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    for name in ("a", "b"):
        for number in range(3):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(values if name == "a" else 255 - values)
            image.save(tmp_path / "set" / name / f"{number}.png")
    data = datasets.load(tmp_path / "set")
    for x, y in zip(data.x_train, data.y_train, strict=True):
        np.testing.assert_array_equal(x.transpose(1, 2, 0), 255 - values if y else values)


def test_sixteen_bits_palette_transparency_and_rotation(tmp_path):
    deep = np.array([[0, 257, 65535, 32896]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(
        pictures.read(tmp_path / "deep.png", grey=True)[0, :, 0], [0, 1, 255, 128]
    )
    clear = np.zeros((1, 2, 4), np.uint8)
    clear[0, 1] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(
        pictures.read(tmp_path / "clear.png"), [[[255, 255, 255], [10, 20, 30]]]
    )
    lying = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    lying.save(tmp_path / "lying.png", exif=exif)
    upright = pictures.read(tmp_path / "lying.png", grey=True)[..., 0]
    np.testing.assert_array_equal(upright, np.rot90(np.asarray(lying), -1))
    assert pictures.size_of(tmp_path / "lying.png") == (3, 2)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "packed.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_whatever_the_format(tmp_path, name, dtype, orientation):
    shown = np.arange(0, 60, 4).reshape(5, 3) * (257 if dtype == np.uint16 else 1)
    stored = {
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1], 5: shown.T,
        6: np.rot90(shown), 7: shown[::-1, ::-1].T, 8: np.rot90(shown, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"compression": "tiff_lzw"} if name == "packed.tif" else {}
    Image.fromarray(stored.astype(dtype)).save(tmp_path / name, exif=exif, **how)
    assert pictures.size_of(tmp_path / name) == (5, 3)
    read = pictures.read(tmp_path / name, grey=True)[..., 0]
    np.testing.assert_array_equal(read, np.arange(0, 60, 4).reshape(5, 3))


def test_lying_tiffs_that_are_alike_keep_their_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        picture(tmp_path / "set" / "ab"[number % 2] / f"{number}.tif", size=(20, 16), exif=exif)
    assert datasets.load(tmp_path / "set").x_train.shape[2:] == (20, 16)


def test_sixteen_bits_of_one_value_that_is_transparent(tmp_path):
    values = np.array([[0, 514, 515, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=514)
    assert pictures.read(tmp_path / "a.png", grey=True).ravel().tolist() == [0, 255, 2, 255]


def test_sixteen_bits_of_a_portable_greymap(tmp_path):
    values = np.array([[0, 257, 65535, 32896]], ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + values.tobytes())
    assert pictures.read(tmp_path / "a.pgm", grey=True).ravel().tolist() == [0, 1, 255, 128]


def tiff(path: Path, rows: bytes, width: int, height: int, bits: int, **more: int) -> Path:
    """A grey TIFF as no library here writes it; more : photometric (1: 0 is black), format."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, more.get("photometric", 1)),
            (273, 0), (277, 1), (278, height), (279, len(rows)),
            (339, more.get("format", 1))]  # fmt: skip
    begin = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, begin if tag == 273 else v) for tag, v in tags]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    path.write_bytes(head + rows)
    return path


@pytest.mark.parametrize(("white_is_0", "wanted"), [(False, [0, 1, 255]), (True, [255, 254, 0])])
def test_sixteen_bits_of_which_0_may_be_white(tmp_path, white_is_0, wanted):
    values = np.array([[0, 257, 65535]], "<u2")
    path = tiff(tmp_path / "a.tif", values.tobytes(), 3, 1, 16, photometric=int(not white_is_0))
    assert pictures.read(path, grey=True).ravel().tolist() == wanted


@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
@pytest.mark.parametrize("width", [4, 5])
def test_white_is_white_with_any_number_of_bits(tmp_path, bits, width):
    white = 2**bits - 1
    values = np.array([[0, 1, white // 3, white - 1, white][:width], [white] * width])
    if bits == 16:
        rows = values.astype("<u2").tobytes()
    else:  # from the highest bit on; every row begins with a byte
        places = values[:, :, None] >> np.arange(bits)[::-1] & 1
        rows = np.packbits(places.reshape(2, -1).astype(np.uint8), axis=1).tobytes()
    path = tiff(tmp_path / "a.tif", rows, width, 2, bits)
    read = pictures.read(path, grey=True)[..., 0]
    np.testing.assert_array_equal(read, np.rint(values / white * 255))


@pytest.mark.parametrize(("dtype", "form"), [("<i2", 2), ("<i4", 2), ("<u4", 1), ("<f4", 3)])
def test_numbers_of_which_nobody_says_what_is_white(tmp_path, dtype, form):
    values = np.array([[0, 100, 30000]], dtype)
    path = tiff(tmp_path / "a.tif", values.tobytes(), 3, 1, 8 * values.itemsize, format=form)
    with pytest.raises(pictures.UnreadableError, match="of which nobody says what is white"):
        pictures.read(path)


def test_what_could_not_be_read_is_tried_again(tmp_path):
    root = pets(tmp_path / "pets")
    path, whole = root / "cat" / "0.png", (root / "cat" / "0.png").read_bytes()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    for content, wanted in ((bytes(len(whole)), 11), (whole, 12)):
        path.write_bytes(content)
        os.utime(path, ns=times)  # as where only the permission has changed
        data = datasets.load(root)
        assert len(data.x_train) + len(data.x_test) == wanted


def test_grey_or_colour_is_found(tmp_path):
    root = pets(tmp_path / "pets", mode="L")
    assert datasets.load(root).x_train.shape[1:] == (1, 16, 20)
    picture(root / "cat" / "colour.jpg")
    assert datasets.load(root).x_train.shape[1] == 3
    assert datasets.load(root, grey=True).x_train.shape[1] == 1


def test_grey_pictures_saved_in_colour_are_grey(tmp_path):
    for name in "ab":
        for number in range(2):
            picture(tmp_path / "set" / name / f"{number}.png", (7, 7, 7))
    assert datasets.load(tmp_path / "set").x_train.shape[1] == 1


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(20, 16)] * 4, (16, 20)),
        ([(20, 16), (40, 50), (24, 20), (16, 20)], (22, 22)),
        ([(300, 200)] * 4, (64, 64)),
    ],
)
def test_size_unless_asked_for(tmp_path, sizes, wanted):
    for number, size in enumerate(sizes):
        picture(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", size=size)
    assert datasets.load(tmp_path / "set").x_train.shape[2:] == wanted
    assert datasets.load(tmp_path / "set", size=30).x_train.shape[2:] == (30, 30)


def test_broken_pictures_are_named_and_left_out(tmp_path):
    root = pets(tmp_path / "pets")
    whole = (root / "cat" / "0.png").read_bytes()
    (root / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "empty.jpg").write_bytes(b"")
    (root / "dog" / "text.gif").write_text("no picture")
    data = datasets.load(root)
    assert len(data.x_train) + len(data.x_test) == 12
    note = next(note for note in data.notes if "cannot be read" in note)
    assert "3 pictures" in note
    assert all(name in note for name in ("cut.png", "empty.jpg", "text.gif"))
    with pytest.raises(datasets.DataError, match=r"cut\.png.*2 more.*--strict"):
        datasets.load(root, strict=True)


def test_parts_by_folder(tmp_path):
    root = tmp_path / "pets"
    for part, count in (("Train", 5), ("valid", 2), ("test", 3)):
        pets(root / part, (("cat", count), ("dog", count)))
    picture(root / "other" / "x.png")
    data = datasets.load(root)
    assert [len(data.y_train), len(data.y_val), len(data.y_test)] == [10, 4, 6]
    assert not data.held_out
    assert any("other" in note for note in data.notes)
    np.testing.assert_array_equal(data.y_val, [0, 0, 1, 1])
    assert data.x_val.base is not None  # mapped from the disk, not copied


def test_test_pictures_without_labels_are_left_alone(tmp_path):
    root = tmp_path / "pets"
    pets(root / "train")
    picture(root / "test" / "1.png")
    data = datasets.load(root)
    assert data.held_out and len(data.y_train) + len(data.y_test) == 12
    assert any("no labels" in note for note in data.notes)


@pytest.mark.parametrize("within", [[], ["cat"], ["cat", "dog"], [f"kind{k}" for k in range(9)]])
def test_folders_within_a_class_are_named(tmp_path, within):
    pets(tmp_path / "pets", (("animals", 6), ("things", 6)))
    for name in within:
        picture(tmp_path / "pets" / "animals" / name / "deeper" / "1.png")
    data = datasets.load(tmp_path / "pets")
    assert data.class_names == ("animals", "things")
    told = [note for note in data.notes if "within that of a class" in note]
    assert len(told) == bool(within)
    for name in within[:5]:
        assert f"animals/{name}/deeper" in told[0]
    assert len(within) < 6 or "4 more" in told[0]


def test_classes_called_by_numbers_are_in_their_order(tmp_path):
    root = pets(tmp_path / "set", [(name, 2) for name in ("10", "9", "1")])
    assert datasets.load(root).class_names == ("1", "9", "10")


def test_split_is_stratified_and_keyed(tmp_path):
    labels = np.repeat([0, 1, 2, 3], [50, 20, 4, 1])
    train, test = parts.stratified(labels, 0.2, 42)
    np.testing.assert_array_equal(np.bincount(labels[test], minlength=4), [10, 4, 1, 0])
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(75))
    again = parts.stratified(labels, 0.2, 42)
    np.testing.assert_array_equal(again[1], test)
    assert not np.array_equal(parts.stratified(labels, 0.2, 43)[1], test)


def reads(monkeypatch) -> list[Path]:
    """The files that are decoded from now on."""
    read, decode = [], pictures.read
    monkeypatch.setattr(
        pictures, "read", lambda path, *rest: (read.append(path), decode(path, *rest))[1]
    )
    return read


def test_the_second_start_reads_the_cache(tmp_path, monkeypatch):
    root = pets(tmp_path / "pets")
    read = reads(monkeypatch)
    first = datasets.load(root)
    assert len(read) == 12
    second = datasets.load(root)
    assert len(read) == 12
    np.testing.assert_array_equal(first.x_train, second.x_train)
    assert (tmp_path / ".pets.fastcnn").is_dir()
    datasets.load(root, size=10)
    datasets.load(root)
    assert len(read) == 24  # the other size has a cache of its own


@pytest.mark.parametrize("change", ["new", "gone", "other", "touched", "renamed"])
def test_the_cache_notices_changes(tmp_path, monkeypatch, change):
    root = pets(tmp_path / "pets")
    datasets.load(root)
    read = reads(monkeypatch)
    file = root / "cat" / "0.png"
    if change == "new":
        picture(root / "cat" / "new.png")
    elif change == "gone":
        file.unlink()
    elif change == "other":
        picture(file, (9, 9, 9), size=(20, 16))
    elif change == "touched":
        os.utime(file, ns=(1, 1))
    else:
        file.rename(root / "dog" / "moved.png")
    data = datasets.load(root)
    assert len(read) == len(data.x_train) + len(data.x_test)
    assert len(list((tmp_path / ".pets.fastcnn").iterdir())) == 2  # the old one is gone


@pytest.mark.parametrize("damage", ["cut", "flipped", "json", "shape"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage):
    root = pets(tmp_path / "pets")
    before = datasets.load(root)
    (pixels,) = (tmp_path / ".pets.fastcnn").glob("*.u8")
    (about,) = (tmp_path / ".pets.fastcnn").glob("*.json")
    if damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "flipped":
        content = bytearray(pixels.read_bytes())
        content[100] ^= 1
        pixels.write_bytes(content)
    elif damage == "json":
        about.write_text("{")
    else:
        about.write_text(json.dumps(json.loads(about.read_text()) | {"shape": [1, 2]}))
    np.testing.assert_array_equal(datasets.load(root).x_train, before.x_train)


def test_where_the_folder_cannot_be_written_the_users_cache_is(tmp_path, monkeypatch):
    root = pets(tmp_path / "pets")
    make_folder = cache.make_folder

    def refuse(folder):
        if folder.parent == tmp_path:
            raise cache.PlaceError("read-only")
        return make_folder(folder)

    monkeypatch.setattr(cache, "make_folder", refuse)
    data = datasets.load(root)
    assert "users-cache" in data.source
    read = reads(monkeypatch)
    datasets.load(root)
    assert read == []


@pytest.mark.parametrize("error", [cache.PlaceError("no"), OSError(28, "No space left on device")])
def test_without_any_place_the_pictures_stay_in_memory(tmp_path, monkeypatch, error):
    root = pets(tmp_path / "pets")
    kept = datasets.load(root).x_train
    (tmp_path / ".pets.fastcnn").rename(tmp_path / "away")

    def refuse(_folder):
        raise error

    monkeypatch.setattr(cache, "make_folder", refuse)
    data = datasets.load(root)
    np.testing.assert_array_equal(data.x_train, kept)
    assert "memory" in data.source or "not kept" in data.source


def test_large_parts_are_mapped_not_copied(tmp_path, monkeypatch):
    root = pets(tmp_path / "pets", (("cat", 30), ("dog", 30)))
    small = datasets.load(root)
    monkeypatch.setattr(parts, "_MAX_MEMORY", 0)
    large = datasets.load(root)
    assert isinstance(large.x_train.base, np.memmap)
    np.testing.assert_array_equal(large.x_train, small.x_train)
    np.testing.assert_array_equal(large.x_test, small.x_test)


def empty(root):
    root.mkdir()


def single(root):
    pets(root, (("cat", 3),))


def flat(root):
    picture(root / "1.png")


def all_broken(root):
    for name in "ab":
        (root / name).mkdir(parents=True)
        (root / name / "x.png").write_bytes(b"no")


def unknown_in_test(root):
    pets(root / "train")
    pets(root / "test", (("cat", 1), ("horse", 1)))


def one_each(root):
    pets(root, (("cat", 1), ("dog", 1)))


def no_classes_in_train(root):
    picture(root / "train" / "1.png")
    picture(root / "test" / "1.png")


def one_deeper(root):
    pets(root / "archive" / "images")


def others_without_ending(root):
    single(root)
    picture(root / "dog" / "1.png").rename(root / "dog" / "1")


def csv_inside(root):
    root.mkdir()
    (root / "train.csv").write_text("label,p0\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "holds no pictures"),
        (single, "a single class, 'cat'"),
        (flat, r"has pictures \(1\) but no subfolder"),
        (all_broken, "none of the pictures can be read"),
        (unknown_in_test, "'horse' of which the training part has no picture"),
        (one_each, "no class with two of them"),
        (no_classes_in_train, r"train has pictures \(1\) but no subfolder"),
        (one_deeper, "if cat and dog are classes, name .*set/archive/images"),
        (others_without_ending, "more are needed. The folder .*dog has no pictures .*Left alone 1"),
        (csv_inside, r"name the file itself, such as .*train\.csv"),
    ],
)
def test_what_cannot_be_read_is_answered_in_a_sentence(tmp_path, make, words):
    make(tmp_path / "set")
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(tmp_path / "set")


def test_no_permission_is_answered(tmp_path, monkeypatch):
    root = pets(tmp_path / "pets")
    iterdir = Path.iterdir

    def refuse(self):
        if self == root:
            raise PermissionError(13, "Permission denied", str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(datasets.DataError, match=r"pets cannot be read: Permission denied"):
        datasets.load(root)


def test_hidden_and_other_files_are_no_pictures(tmp_path):
    root = pets(tmp_path / "pets")
    (root / "cat" / "._0.png").write_bytes(b"resource fork")
    (root / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / ".git").mkdir()
    data = datasets.load(root)
    assert len(data.x_train) + len(data.x_test) == 12
    assert any(".db" in note for note in data.notes)


@pytest.mark.parametrize("place", ["runs/mnist-baseline-pets", "out", "cat/out", "search"])
def test_what_runs_draw_is_no_data(tmp_path, place):
    """In a folder of pictures `--dataset .` has the run's own folder among the classes."""
    root = pets(tmp_path / "pets")
    folder = root / place
    for name in ("curves.png", "predictions.png", "plots/filters.png"):
        picture(folder / name)
    for name in (PLAN,) if place == "search" else (SETTINGS, HISTORY):
        (folder / name).write_text("")
    data = datasets.load(root)
    assert data.class_names == ("cat", "dog") and len(data.x_train) + len(data.x_test) == 12
    told = {"out": "results of a run", "search": "results of a run", "cat/out": "no test part"}
    assert any(told.get(place, "no pictures and is no class") in note for note in data.notes)


def test_the_cache_of_the_folder_one_is_in_lies_beside_it(tmp_path, monkeypatch):
    root = pets(tmp_path / "above" / "pets")
    monkeypatch.chdir(root)
    datasets.load(".")
    assert sorted(each.name for each in root.parent.iterdir()) == [".pets.fastcnn", "pets"]
    assert sorted(each.name for each in root.iterdir()) == ["cat", "dog"]
    kept = next((root.parent / ".pets.fastcnn").glob("*.json")).stat().st_mtime_ns
    monkeypatch.chdir(root / "cat")
    datasets.load("..")
    assert next((root.parent / ".pets.fastcnn").glob("*.json")).stat().st_mtime_ns == kept
    assert len(list((root / "cat").iterdir())) == 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_grey_pictures_of_three_channels_leave_nothing_where_they_do_not_fit(
    tmp_path, monkeypatch, number
):
    for name in ("a", "b"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(3):
            grey = Image.fromarray(np.full((8, 8), 40 * i, np.uint8))
            grey.convert("RGB").save(tmp_path / "root" / name / f"{i}.png")
    replace = os.replace

    def full(source, target):
        if ".u8." in str(source):
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    data = datasets.load(tmp_path / "root")
    assert data.x_train.shape[1:] == (1, 8, 8)
    assert any("not kept for the next start" in note for note in (data.source, *data.notes))
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


KILLED = """
import os, signal, sys
from fastcnn import datasets
replace, calls = os.replace, iter(range(9))

def killed(source, target):
    if next(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = killed
datasets.load(sys.argv[1])
"""


@pytest.mark.parametrize("call", [0, 1], ids=["pixels", "what they are"])
def test_half_a_cache_of_a_killed_process_goes_with_the_next_one(tmp_path, call):
    """Even if the pictures have changed meanwhile, and the cache has another name."""
    root = tmp_path / "root"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            grey = Image.fromarray(np.full((8, 8), 40 * i, np.uint8))
            grey.convert("RGB").save(root / name / f"{i}.png")
    subprocess.run([sys.executable, "-c", KILLED, str(root), str(call)], check=False)
    place = tmp_path / ".root.fastcnn"
    assert [path for path in place.glob(".own-*") if path.stat().st_size]
    os.utime(root / "a" / "0.png", (1e9, 1e9))
    assert datasets.load(root).x_train.shape[1:] == (1, 8, 8)
    assert {path.suffix for path in place.iterdir()} == {".u8", ".json"}
    assert len(list(place.iterdir())) == 2
