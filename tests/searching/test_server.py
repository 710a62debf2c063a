"""A search on PostgreSQL by two machines: workers and the server are killed, no trial is lost.

The machines are two commands with nothing shared but the line that the first prints, the second
where possible with process numbers of its own. One round runs in the suite; twenty by

    python -m tests.searching.test_server 20
"""

import argparse
import contextlib
import csv
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="a search needs Optuna: pip install '.[search]'")
pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg: pip install '.[postgresql]'")

from fastcnn.searching import database, server
from fastcnn.searching.slots import attempts

pytestmark = pytest.mark.skipif(
    server.programs() is None or "FASTCNN_TEST_SERVERS" not in os.environ,
    reason="starts PostgreSQL: apt install postgresql, and set FASTCNN_TEST_SERVERS=1",
)

ROOT = Path(__file__).parents[2]
SEARCH = [
    "-m", "fastcnn.search", "--serve", "--out", "digits search", "--dataset", "digits",
    "--limit-train", "200", "--limit-test", "50", "--validation", "0.2", "--threads", "1",
    "--model", "mnist-baseline", "--epochs", "60", "--search", "lr=0.03,0.1",
    "--search", "batch_size=16,32,64",
]  # fmt: skip
CELLS = 6
APART = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the server's account can enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def machine(words: list[str], folder: Path, apart: list[str]) -> subprocess.Popen:
    """A machine that begins a search, or joins it."""
    folder.mkdir(mode=0o755)
    return subprocess.Popen(
        [*apart, sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def descendants(pid: int) -> list[int]:
    """A process's children and theirs, as this machine numbers them."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [each for child in map(int, children) for each in (child, *descendants(child))]
    return []


def workers(process: subprocess.Popen) -> list[int]:
    """Those processes of a machine that train, not its parent and what Python starts."""
    found = []
    for pid in descendants(process.pid):
        with contextlib.suppress(OSError):
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


def kill_machine(process: subprocess.Popen) -> None:
    """All that is left of it."""
    for pid in (process.pid, *descendants(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def kill_server(found: server.Server) -> None:
    """All its processes at once, as a power cut would."""
    processes = [found.pid, *descendants(found.pid)]
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        time.sleep(0.01)


def study(url: str) -> list:
    """The attempts of the search; none until it has begun."""
    import optuna

    storage = database.connect(url)
    try:
        names = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=names[0], storage=storage).get_trials()
    finally:
        storage.engine.dispose()


def wait_for(url: str, state: str, count: int, process: subprocess.Popen) -> None:
    """Until so many trials are in this state."""
    while sum(trial.state.name == state for trial in study(url)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def killed_search(number: int, root: Path) -> int:
    """A search by two machines, in which a worker and the server are killed; gives the attempts."""
    dice = random.Random(number)
    here, there = root / f"{number}-here", root / f"{number}-there"
    apart = [] if subprocess.run([*APART, "true"], check=False).returncode else APART
    with contextlib.ExitStack() as ends:
        first = machine(SEARCH, here, [])
        ends.callback(kill_machine, first)
        line = first.stdout.readline() if first.stdout else ""
        assert line.startswith("another machine joins with: python -m fastcnn.search "), line
        found = server.Server(here / "digits search" / server.FOLDER)
        ends.callback(found.stop, at_once=True)
        words = shlex.split(line.partition(": python ")[2])
        second = machine([*words, "--workers", "2"], there, apart)
        ends.callback(kill_machine, second)
        wait_for(found.url, "RUNNING", 2, second)
        for victim in dice.sample(("worker", "server"), 2):
            time.sleep(dice.uniform(0, 0.5))
            if victim == "worker":
                os.kill(dice.choice(workers(second)), signal.SIGKILL)  # the other goes on
            else:
                kill_server(found)
                time.sleep(dice.uniform(1.5, 3))
                found.start()
        for process in (second, first):
            _, errors = process.communicate()
            assert process.returncode == 0, errors
            assert "note: the database is away (" in errors and "is back after" in errors
            assert "Traceback" not in errors, errors
            assert process is first or "was ended by SIGKILL" in errors
        assert not found.is_running
        found.start()
        tries = attempts(study(found.url))
    # Each trial once, and both machines know each.
    assert [*sorted(tries)] == [*range(CELLS)]
    became = {slot: [each.state.name for each in row] for slot, row in tries.items()}
    assert all(Counter(row)["COMPLETE"] == 1 and row[-1] == "COMPLETE" for row in became.values())
    tables = [rows(folder / "digits search") for folder in (here, there)]
    assert tables[0] == tables[1]
    assert {row["state"] for row in tables[0]} == {"done"}
    assert len([*root.glob(f"{number}-*/*/trials/*/result.json")]) >= CELLS
    return sum(map(len, became.values()))


KILLED = """
import os, signal, sys
from pathlib import Path
from fastcnn.searching import server

replace = os.replace

def killed(source, target):
    if sys.argv[2] == "named" and Path(source).name == "data.tmp":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = killed
server.Server(Path(sys.argv[1])).start()
"""


@pytest.mark.parametrize("moment", ["begun", "named"])
def test_what_was_killed_while_it_was_set_up_is_set_up_anew(moment):
    """As initdb is at work, and before its folder has its name: whoever comes next is let in."""
    with open_folder() as root:
        folder = root / "server"
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), moment], cwd=ROOT)
        if moment == "begun":
            while not (folder / "data.tmp" / "PG_VERSION").is_file():
                assert process.poll() is None
                time.sleep(0.001)
            for each in (process.pid, *descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        process.wait()
        ours = server.Server(folder)
        try:
            ours.start()
            assert ours.is_running
            assert (
                (folder / "data" / "pg_hba.conf")
                .read_text()
                .endswith("host all all all scram-sha-256\n")
            )
        finally:
            ours.stop(at_once=True)
        assert not (folder / "data.tmp").exists() and not (folder / "password").exists()


def test_workers_and_server_are_killed():
    with open_folder() as root:
        killed_search(1, root)


def main(argv: list[str]) -> None:
    """Search so many times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    wanted = parser.parse_args(argv)
    repeated = 0
    with open_folder() as root:
        for number in range(wanted.first, wanted.first + wanted.count):
            repeated += killed_search(number, root) - CELLS
            print(f"{number - wanted.first + 1} of {wanted.count}", file=sys.stderr, flush=True)
    print(f"{wanted.count} searches of {CELLS} trials: none lost, none twice; {repeated} attempts "
          f"were cut off and begun again")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
