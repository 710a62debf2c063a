"""What may happen to a command at any moment: signals, streams that go away, no place to write."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from fastcnn import plots, train
from fastcnn.commands import entry, streams
from fastcnn.files import complete, passing, remove_unfinished, write_text
from tests.full_disk import limit_files

RUN = ["--dataset", "digits", "--limit-train", "200", "--limit-test", "20", "--epochs", "1"]
PICTURE = b"\x89PNG"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entry") / "run"
    assert train.main([*RUN, "--quiet", "--out", str(folder)]) == 0
    return folder


def command(name: str, *words: object) -> list[str]:
    return [sys.executable, "-m", f"fastcnn.{name}", *map(str, words)]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True,
        env={**os.environ, "PY": f"{sys.executable} -m", **environment},
    )  # fmt: skip


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["| true", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_a_reader_the_work_is_done(run, tmp_path, gone):
    done = shell(f"$PY fastcnn.plot curves {run} --out {tmp_path}/a.png {gone}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes().startswith(PICTURE)


def test_a_reader_that_has_enough_does_not_end_the_work(run, tmp_path):
    done = shell(f"$PY fastcnn.plot all {run} --out {tmp_path} | head -1")
    assert (done.returncode, "rror" in done.stderr) == (0, False)
    assert {"curves.png", "confusion.png"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize("words", ["fastcnn", "fastcnn.train --help", "fastcnn.reproduce --list"])
def test_a_full_disk_behind_standard_output_is_said(words):
    done = shell(f"$PY {words} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"
    assert shell(f"$PY {words} | head -1").stderr == ""


def test_training_survives_its_standard_output(run, tmp_path):  # run: kernels are compiled
    done = shell(f"$PY fastcnn.train {' '.join(RUN)} --no-pictures --out {tmp_path}/a >/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "a" / "result.json").is_file()
    done = shell(f"$PY fastcnn.train {' '.join(RUN)} --no-pictures --out {tmp_path}/b | head -2")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "b" / "result.json").is_file()


def test_any_text_in_any_encoding(run, tmp_path):
    folder = tmp_path / "画 → ü"
    words = f"fastcnn.plot filters {run} --out '{folder}/f.png'"
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
        done = shell(f"$PY {words}", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("written: ")
    done = shell(f"$PY fastcnn.plot filters '{folder}/absent'", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no run") and done.stderr.count("\n") == 1


class Broken(io.StringIO):
    """Takes some letters, then fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        if self.tell() > 10:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


TOO_MUCH = "1000000000000000"  # numbers: more than any processor can address


@pytest.mark.parametrize("options", [["--hidden", TOO_MUCH], ["--filters", TOO_MUCH]])
def test_too_little_memory_is_answered(tmp_path, capsys, options):
    folder = tmp_path / "run"
    assert train.main([*RUN, *options, "--out", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is not enough memory: Unable to allocate ")
    assert line.endswith("; a smaller network, batch or number of images needs less")
    assert not folder.exists()


@pytest.mark.parametrize("option", ["--size", "--padding", "--kernel-size", "--hidden"])
@pytest.mark.parametrize("number", [2**62, 10**20])
def test_an_array_beyond_all_addresses_is_answered(tmp_path, capsys, option, number):
    assert train.main([*RUN, option, str(number), "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is not enough memory for an array that large anywhere; ")


def test_memory_that_ends_anywhere_is_answered(monkeypatch, capsys):
    def ends(*_):
        raise MemoryError

    for name in ("train", "predict", "evaluate", "explain", "plot", "check"):
        monkeypatch.setattr(f"fastcnn.commands.{name}.main", ends)
        assert entry.run(name, []) == 2
        assert capsys.readouterr().err.startswith("error: there is not enough memory; ")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EFBIG])
def test_a_stream_that_fails_is_not_tried_again(number):
    stream = streams.Stream(Broken(number))
    for _ in range(3):
        print("twelve letters", file=stream, flush=True)
    assert stream.getvalue() == "twelve letters"
    lost = streams.lost(stream)
    assert (lost is None) == (number in (errno.EPIPE, errno.EIO))
    assert lost is None or os.strerror(number) in lost
    assert streams.lost(streams.Stream(io.StringIO())) is None


class Raw(io.RawIOBase):
    """A file that is full, with text in front of it that waits."""

    room = 0

    def writable(self) -> bool:
        return True

    def write(self, text) -> int:
        if self.room:
            return len(text)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_stream_that_cannot_even_be_prepared(monkeypatch, tmp_path):
    waiting = io.TextIOWrapper(io.BufferedWriter(Raw()), encoding="ascii")
    waiting.write("this waits")
    with open(tmp_path / "log", "w") as closed:
        pass
    for stream, is_lost in ((waiting, True), (closed, False)):
        monkeypatch.setattr(sys, "stdout", stream)
        with streams.lasting() as out:
            print("more", flush=True)
        assert (streams.lost(out) is not None) == is_lost
    monkeypatch.setattr(Raw, "room", 1)  # for Python's last flush of it


def test_a_stream_of_few_letters_takes_what_it_can(monkeypatch):
    class Few(io.StringIO):
        encoding = "ascii"

        def write(self, text: str) -> int:
            text.encode("ascii")
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Few())
    with streams.lasting() as out:
        print("a → b")
        print("c")
    assert out.getvalue() == "a \\u2192 b\nc\n"
    assert streams.lost(out) is None


# --- places -------------------------------------------------------------------------------------


smallest_files = partial(limit_files, 3000)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_that_does_not_fit_leaves_the_old_one(run, tmp_path, kind):
    path = tmp_path / f"filters.{kind}"
    path.write_text("the old one")
    done = subprocess.run(
        command("plot", "filters", run, "--out", path),
        capture_output=True, text=True, preexec_fn=smallest_files,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"error: {path} cannot be written: File too large\n"
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_in_a_test_cuts_no_bytecode_of_others(tmp_path):
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = (
        "from tests.full_disk import limit_files; limit_files(100)\n"
        "import subprocess, sys, wave\n"
        "subprocess.run([sys.executable, '-c', 'import cmd'], check=True)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    stems = {file.name.split(".")[0] for file in tmp_path.rglob("*.pyc")}
    assert "full_disk" in stems and not {"wave", "cmd"} & stems
    assert all(file.stat().st_size > 100 for file in tmp_path.rglob("*.pyc"))


def test_a_search_that_finds_no_room_says_so(tmp_path):
    words = ["--search", "lr=0.1,0.2", "--validation", "0.2", "--out", tmp_path / "s"]
    done = subprocess.run(
        command("search", *RUN, *words), capture_output=True, text=True, preexec_fn=smallest_files
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_reproduction_that_finds_no_room_says_so(tmp_path):
    data = tmp_path / "data"
    done = subprocess.run(
        command("reproduce", "S2", "--quick", "--offline", "--data-dir", data, "--out", "/proc/x"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: the folder /proc/x/runs") or "/proc/x" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_half_written_is_removed(tmp_path):
    with complete(tmp_path / "a") as half, passing(tmp_path / "b") as other:
        half.write_text("half")
        other.write_text("other")
        remove_unfinished()
        assert list(tmp_path.iterdir()) == []
        half.write_text("whole")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "whole")]
    write_text(tmp_path / "absent" / "c", "text")
    assert (tmp_path / "absent" / "c").read_text() == "text"
    with pytest.raises(OSError, match="a/c cannot be written: File exists"):
        write_text(tmp_path / "a" / "c", "text")


# --- backends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["nonsense", "module://absent.backend", "qtagg"])
def test_pictures_need_no_backend(run, tmp_path, backend):
    done = subprocess.run(
        command("plot", "filters", run, "--out", tmp_path / "f.png"),
        capture_output=True, text=True, env={**os.environ, "MPLBACKEND": backend},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "f.png").read_bytes().startswith(PICTURE)


def test_the_backend_is_still_there_for_others():
    code = "import os\nfrom fastcnn.plots.style import new_figure\nnew_figure(2, 2)\n" + (
        "print(os.environ['MPLBACKEND'])"
    )
    for backend in ("nonsense", "module://absent.backend"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "MPLBACKEND": backend},
        )  # fmt: skip
        assert done.stdout == f"{backend}\n"


# --- signals ------------------------------------------------------------------------------------


def interrupted(words: list[str], lines: int, number: int, delay: float = 0) -> tuple[int, str]:
    """(exit code, standard error) of a command that gets a signal once it has printed so much."""
    process = subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    time.sleep(delay)
    os.killpg(process.pid, number)  # as a terminal does
    _, error = process.communicate()
    return process.returncode, error


# Sends it when so many pictures are done, as the next is put into its place or some time later.
AS_A_PICTURE_IS_DONE = """
import os, sys, threading

left = [int(os.environ["PICTURES"]) + 1]

def hook(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".png"):
        left[0] -= 1
        if left[0] == 0:
            delay, number = float(os.environ["DELAY"]), int(os.environ["SIGNAL"])
            if delay:
                threading.Timer(delay, os.killpg, (os.getpgid(0), number)).start()
            else:
                os.killpg(os.getpgid(0), number)

sys.addaudithook(hook)
"""


@pytest.mark.parametrize("delay", [0.0, 0.05])
@pytest.mark.parametrize(
    ("number", "code", "pictures"),
    [
        (signal.SIGINT, 130, 1), (signal.SIGINT, 130, 4), (signal.SIGTERM, 143, 4),
        (signal.SIGHUP, 143, 1), (signal.SIGQUIT, 143, 4),
    ],
)  # fmt: skip
def test_plotting_is_interrupted_in_one_line(run, tmp_path, pictures, number, code, delay):
    out, hook = tmp_path / "out", tmp_path / "sitecustomize.py"
    hook.write_text(AS_A_PICTURE_IS_DONE)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {
        "PYTHONPATH": path, "PICTURES": str(pictures), "SIGNAL": str(int(number)),
        "DELAY": str(delay),
    }  # fmt: skip
    done = subprocess.run(
        command("plot", "all", run, "--out", out), capture_output=True, text=True,
        env={**os.environ, **variables}, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == code
    said = [line for line in done.stderr.splitlines() if not line.startswith("left out")]
    assert said == ["interrupted; pictures that were written are whole"]
    drawn = list(out.iterdir())
    assert len(drawn) >= pictures and all(file.suffix == ".png" for file in drawn)
    assert all(file.read_bytes().endswith(b"IEND\xaeB`\x82") for file in drawn)


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_a_search_is_interrupted_in_words(tmp_path, delay):
    words = [*RUN[:-1], "1000000", "--validation", "0.2", "--search", "lr=0.01,0.02,0.03"]
    words = command("search", *words, "--out", tmp_path)
    ended, error = interrupted(words, 1, signal.SIGINT, delay)
    assert ended == 130
    assert "Traceback" not in error and "interrupted; to continue: python" in error
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_a_reproduction_is_interrupted_in_one_line(tmp_path, delay):
    words = [sys.executable, "-c", LONG.format(out=str(tmp_path))]
    ended, error = interrupted(words, 1, signal.SIGINT, delay)
    assert ended == 130
    assert error == "interrupted; the same command goes on where it stopped\n"
    assert list(tmp_path.rglob("*.tmp")) == []
    results = list(tmp_path.rglob("result.json"))  # the run itself has ended after its batch
    assert len(results) == len(list(tmp_path.rglob("last.npz")))


LONG = """
import sys
from fastcnn.commands import reproduce
from fastcnn.reproduction.laboratory import Experiment
from fastcnn.reproduction.sections import Section, Table
settings = {{"dataset": "digits", "limit_train": 1000, "limit_test": 100, "epochs": 1000000}}
experiment = Experiment("mnist-baseline", settings, seeds=(1, 2))
table = Table("S9.1", "long", lambda lab: Section(), [experiment])
reproduce.TABLES = {{"S9.1": table}}
from fastcnn.commands import entry
sys.exit(entry.run("reproduce", ["--out", {out!r}]))
"""


AS_A_MODULE_IS_FOUND = """
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == os.environ["MOMENT"]:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
sys.meta_path.insert(0, Finder())
"""
AS_PYTHON_ENDS = """
import atexit, os, sys
send = lambda kill=os.kill, me=os.getpid(), number=int(os.environ["SIGNAL"]): kill(me, number)
class Last:
    def __del__(self, send=send):
        send()
if os.environ["MOMENT"] == "atexit":
    atexit.register(send)
else:
    sys.last = Last()
"""


def at_the_moment(tmp_path, code: str, moment: str, number: int, *words: str) -> tuple[int, str]:
    """(exit code, standard error) of a command that gets a signal at that very moment."""
    (tmp_path / "sitecustomize.py").write_text(code)
    environment = {"PYTHONPATH": str(tmp_path), "MOMENT": moment, "SIGNAL": str(int(number))}
    done = subprocess.run(
        command("train", *words), text=True, capture_output=True, env={**os.environ, **environment}
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("kernels", signal.SIGTERM, 143),
        ("fastcnn.commands", signal.SIGINT, 130),
        ("numpy", signal.SIGHUP, 143),
    ],
)
def test_a_signal_while_the_command_is_imported(tmp_path, moment, number, code):
    ended = at_the_moment(tmp_path, AS_A_MODULE_IS_FOUND, moment, number, "--list-models")
    assert ended == (code, "interrupted before the work began\n")


@pytest.mark.parametrize("moment", ["atexit", "the last object goes"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_changes_nothing(tmp_path, moment, number):
    ended = at_the_moment(tmp_path, AS_PYTHON_ENDS, moment, number, "--model", "nonsense")
    assert ended[0] == 2
    assert ended[1].startswith("error: ") and ended[1].count("\n") == 1


def test_words_that_hold_no_more_are_not_said():
    code = (
        "import os, signal\n"
        "from fastcnn.commands.interrupt import Interrupt, answered\n"
        "with answered('before', then='after'):\n"
        "    with Interrupt().noted():\n"
        "        pass\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "after\n")


def test_signals_noted_and_answered_are_given_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert train.main(["--list-models"]) == 0
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert before == after


def test_nohup_means_what_it_says():
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from fastcnn.commands.interrupt import answered\n"
        "with answered('gone'):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "still here\n", "")
    assert Path(plots.__file__).is_file()
