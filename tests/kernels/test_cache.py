"""Compiled code on the disk: shared by processes and machines, and in places of all kinds."""

import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import cache, jit

KERNELS = Path(jit.__file__).parent
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
# What `.ci/run` compiles for besides the host.
HASWELL = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+sse4.2,+avx2,+fma,+bmi2,+popcnt"}
PLAIN = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}

# Tiny kernels, each for two types: prints lanes, a result, and how many came from the cache.
PROGRAM = """
import sys
import numpy as np
from kernels import jit
from kernels.simd import lanes, load_part, store_part, total

@jit.serial
def width(x):
    return lanes(x)

@jit.serial
def double(x):
    for i in range(0, x.size, lanes(x)):
        v = load_part(x, i, x.size - i)
        store_part(x, i, v + v, x.size - i)

@jit.serial
def add_up(x):
    return total(load_part(x, 0, x.size))

def main():
    results = []
    for dtype in (np.float32, np.float64)[:: int(sys.argv[1])]:
        x = np.ones(2, dtype)
        double(x)
        results.append((width(x), float(add_up(x)), x.dtype.itemsize))
    hits = sum(sum(f.stats.cache_hits.values()) for f in (width, double, add_up))
    print(sorted(results, key=lambda result: result[2]), hits)
"""


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """For a process that finds the program below and keeps compiled code in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    paths = os.pathsep.join((str(folder), str(KERNELS.parent)))
    return {**kept, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(folder / "cache"), **changes}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def start(folder: Path, order: int = 1, **changes: str) -> subprocess.Popen[str]:
    code = "from program import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(order)], env=environment(folder, **changes), cwd=folder,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[list[tuple[int, float, int]], int]:
    """Its results, and how many compiled functions came from the cache."""
    printed, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    results, hits = printed.rsplit(maxsplit=1)
    return eval(results), int(hits)


def expected(register_bytes: int) -> list[tuple[int, float, int]]:
    return [(register_bytes // 4, 4.0, 4), (register_bytes // 8, 4.0, 8)]


def test_four_processes_at_once(folder):
    for process in [start(folder, order) for order in (1, -1, 1, -1)]:
        results, _ = finish(process)
        assert results == expected(8 * results[0][0] // 2)
    _, hits = finish(start(folder))
    assert hits == 6


@pytest.mark.skipif(not ON_X86, reason="names processors of the x86 family")
def test_two_processors_share_a_folder(folder):
    for _ in range(2):
        narrow, narrow_hits = finish(start(folder, **HASWELL))
        plain, plain_hits = finish(start(folder, **PLAIN))
        assert (narrow, plain) == (expected(32), expected(16))
    assert (narrow_hits, plain_hits) == (6, 6)


# --- damage -------------------------------------------------------------------------------------

# Damages a file of the cache, over and over; each time a child of this process, which has loaded
# no kernel yet, must come to the right result, with code made anew and written anew.
DAMAGES = """
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
from kernels import jit

folder, chance = jit._store.writable, random.Random(1)

def child():
    pid = os.fork()
    if pid == 0:
        try:
            from small import check
            check()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def at(size, region):
    first, last = {"checksum": (0, 32), "start": (32, 400), "payload": (400, size)}[region]
    return chance.randrange(first, last)

def damaged(content, others, kind, region):
    place, length = at(len(content), region), chance.choice((1, 4, 64, 512))
    before, block, rest = content[:place], content[place:place + length], content[place + length:]
    if kind == "bit":
        return before + bytes([block[0] ^ 1 << chance.randrange(8)]) + block[1:] + rest
    if kind == "zeros":
        return before + bytes(255 if byte == 0 else 0 for byte in block) + rest
    if kind == "noise":
        return before + bytes(byte ^ chance.randrange(1, 256) for byte in block) + rest
    if kind == "cut":
        return before
    if kind == "taken out":
        return before + rest
    if kind == "put in":
        return before + chance.randbytes(length) + block + rest
    if kind == "longer":
        return content + chance.randbytes(length)
    if kind == "another kernel":
        return chance.choice(others)
    return content[:32] + chance.choice(others)[32:]

jit.serial(eval("lambda x: x - 1"))(1.0)  # sets the compiler up, for all children
assert child() == 0
files = sorted(folder.glob("small.*.nbc"))
whole = {file: file.read_bytes() for file in files}
kinds = "bit", "zeros", "noise", "cut", "taken out", "put in", "longer", "another kernel", "spliced"
tried = 0
for kind in kinds:
    for region in ("checksum", "start", "payload"):
        for _ in range(int(sys.argv[1])):
            file = chance.choice(files)
            others = [content for other, content in whole.items() if other != file]
            broken = damaged(whole[file], others, kind, region)
            assert broken != whole[file]
            for other in files:  # what is whole would be loaded without a look at its part
                if other.name.startswith(file.name.split("-")[0]):
                    other.unlink()
            file.write_bytes(broken)
            status = child()
            assert status == 0, (status, kind, region, file)
            assert file.read_bytes() != broken, (kind, region, file)
            for other, content in whole.items():
                other.write_bytes(content)
            tried += 1
for file in files:  # not a file at all
    file.unlink()
    file.mkdir()
assert child() == 0
for file in files:
    file.rmdir()
    file.write_bytes(b"")
assert child() == 0
print(tried)
"""
# The two kernels have the same bytecode, types and file: only their names tell them apart.
SMALL = """
from kernels import jit

ONE, TWO = 1.0, 2.0

@jit.serial
def add_one(x):
    return x + ONE

@jit.serial
def add_two(x):
    return x + TWO

def check():
    assert (add_one(1.0), add_two(1.0)) == (2.0, 3.0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each damage needs a fresh process, and soon")
def test_damaged_files_are_compiled_and_written_again(folder):
    (folder / "small.py").write_text(SMALL)
    each = 3
    done = subprocess.run(
        [sys.executable, "-c", DAMAGES, str(each)], env=environment(folder), cwd=folder,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == 27 * each


def test_no_damage_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_homes", lambda: [tmp_path])
    store, chance = cache.Store("1"), random.Random(0)
    content = chance.randbytes(1000)
    store.write("kernel", b"origin", content)
    assert store.read("kernel", b"origin") == content
    assert store.read("kernel", b"another") is None
    file = store.writable / "kernel"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        assert store.read("kernel", b"origin") is None
        file.write_bytes(whole[:place])
        assert store.read("kernel", b"origin") is None


# --- places -------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Two places, of which the first can only be read."""
    found = [tmp_path / "filled", tmp_path / "mine"]
    can_be_written = cache._can_be_written
    monkeypatch.setattr(cache, "_homes", lambda: iter(found))
    cache.Store("1").write("old", b"", b"old code")
    monkeypatch.setattr(
        cache,
        "_can_be_written",
        lambda folder: folder.parent != found[0] and can_be_written(folder),
    )
    return found


def test_filled_folder_that_is_read_only(places):
    store = cache.Store("1")
    assert store.read("old", b"") == b"old code"
    assert store.holds("old")
    store.write("new", b"", b"new code")
    assert store.read("new", b"") == b"new code"
    assert [file.name for file in places[0].rglob("*") if file.is_file()] == ["old"]
    assert (store.writable, store.lasts) == (places[1] / "fastcnn-1", True)


def test_damage_in_a_folder_that_is_read_only(places):
    (places[0] / "fastcnn-1" / "old").write_bytes(b"damaged")
    store = cache.Store("1")
    assert store.read("old", b"") is None
    store.write("old", b"", b"made anew")
    assert cache.Store("1").read("old", b"") == b"made anew"


def test_folders_of_other_versions_go_the_oldest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_homes", lambda: [tmp_path])
    for version in range(12):
        store = cache.Store(str(version))
        os.utime(store.writable, (version, version))
    (tmp_path / "mine.txt").write_text("")
    leftover, fresh = store.writable / "a.tmp", store.writable / "b.tmp"
    leftover.write_text("")
    fresh.write_text("")
    os.utime(leftover, (0, 0))
    cache.Store("new").write("kernel", b"", b"")
    kept = {f"fastcnn-{version}" for version in (4, 5, 6, 7, 8, 9, 10, 11)}
    assert {entry.name for entry in tmp_path.iterdir()} == kept | {"fastcnn-new", "mine.txt"}
    store.write("kernel", b"", b"")
    assert (leftover.exists(), fresh.exists()) == (False, True)


def test_disk_that_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_homes", lambda: [tmp_path])
    store = cache.Store("1")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    store.write("kernel", b"", b"code")
    assert store.read("kernel", b"") is None
    assert list(store.writable.iterdir()) == []


def test_folder_that_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_homes", lambda: [tmp_path])
    store = cache.Store("1")
    shutil.rmtree(store.writable)
    store.write("kernel", b"", b"code")
    assert store.read("kernel", b"") == b"code"
    shutil.rmtree(store.writable)
    store.writable.write_text("a file in its place")
    store.write("kernel", b"", b"code")
    assert store.read("kernel", b"") is None


CALL = (
    "from kernels.shares import share; print(share(1600, 1), sum(share.stats.cache_hits.values()))"
)


def copied(place: Path) -> Path:
    """A copy of the kernels that cannot keep compiled code beside itself."""
    package = place / "kernels"
    shutil.copytree(KERNELS, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__pycache__").write_text("")  # root may write to every folder, not to this one
    return package


def call(place: Path, code: str = CALL, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run code with the kernels at a place, and no variable that says where to keep their code."""
    variables: dict[str, str | None] = {**environment(place), "PYTHONPATH": str(place)}
    variables |= {"NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None, **changes}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True,
        env={name: value for name, value in variables.items() if value is not None},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folders are elsewhere")
def test_clone_and_installation_share_what_is_the_same(tmp_path):
    packages = [copied(tmp_path / name) for name in ("clone", "site", "edited")]
    (packages[2] / "shares.py").write_text((packages[2] / "shares.py").read_text() + "# edited\n")
    hits = [call(package.parent, HOME=str(tmp_path)).stdout for package in packages]
    assert hits == ["(64, 192) 0\n", "(64, 192) 1\n", "(64, 192) 0\n"]


# No folder for the user's files, no entry in the table of users, no folder for temporary files.
NOWHERE = """
import pwd, tempfile
def unknown(_):
    raise KeyError
pwd.getpwuid = unknown
tempfile._candidate_tempdir_list = list
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folders are elsewhere")
def test_user_without_any_folder(tmp_path):
    place = copied(tmp_path).parent
    before = sorted(place.iterdir())
    done = call(place, NOWHERE + CALL, HOME=None)
    assert done.stdout == "(64, 192) 0\n"
    assert done.stderr.count("set NUMBA_CACHE_DIR") == 1
    assert sorted(place.iterdir()) == before  # no folder called ~
    filled = {"NUMBA_CACHE_DIR": str(tmp_path / "filled")}
    call(place, CALL, **filled)
    assert call(place, NOWHERE + CALL, HOME=None, **filled).stdout == "(64, 192) 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folders are elsewhere")
@pytest.mark.parametrize("home_is_writable", [True, False])
def test_installation_that_is_read_only(tmp_path, home_is_writable):
    site = copied(tmp_path / "site").parent
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir() if home_is_writable else home.write_text("")
    temporary.mkdir()
    done = call(
        site, CALL + "; print(share.stats.cache_path)", HOME=str(home), TMPDIR=str(temporary)
    )
    assert done.stdout.startswith("(64, 192)")
    used = home / ".cache" if home_is_writable else temporary
    assert str(used) in done.stdout
    assert done.stderr.count("set NUMBA_CACHE_DIR") == (0 if home_is_writable else 1)
    assert list(temporary.iterdir()) == []


# A curve as docs/guide/new-layer.md has it, whose class nobody can import.
CURVE = """
from typing import NamedTuple
import numpy as np
from kernels import curves
from kernels.simd import splat

class Doubled(NamedTuple):
    pass

@curves._of(Doubled)
def _doubled(curve, v):
    return v + v, splat(v, 2.0)

for count in (3, 1 << 17):  # one thread, and several
    x = np.ones(count, np.float32)
    curves.curve(Doubled(), x, x)
    print(x.sum() / count)
"""


def test_class_that_cannot_be_imported(tmp_path):
    """The next process has a class of the same name, and code on the disk that knows the first."""
    script = tmp_path / "script.py"
    script.write_text(f"exec(compile({CURVE!r}, __file__, 'exec'), {{'__name__': 'nowhere'}})\n")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == ["2.0", "2.0"], done.stderr
