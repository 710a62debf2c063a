"""The crew: every share once, whoever comes, sleeps, is away or is not there."""

import os
import subprocess
import sys
import threading
import time

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from numba import prange

from kernels import jit
from kernels.inference.team import exchange_add
from kernels.jit import thread_id
from kernels.threads import loops

pytestmark = pytest.mark.skipif(jit.threading_layer() != "crew", reason="there is no crew here")


@jit.serial
def _add(counts, ids, i, work):
    x = 1.0
    for _ in range(work):
        x = x * 1.0000001
    counts[i] += np.int64(x > 0)
    ids[i] = thread_id()


@jit.parallel
def _count(counts, ids, work):
    for i in prange(counts.size):
        _add(counts, ids, i, work)


@numba.njit(parallel=True)
def _count_row(counts):
    for i in prange(counts.size):
        counts[i] += 1


@numba.njit(parallel=True)
def _count_rows(counts):
    for i in prange(counts.shape[0]):
        _count_row(counts[i])


@jit.serial
def _enter(inside, ids, wrong, i, work):
    me = thread_id()
    wrong[i] += exchange_add(inside, 8 * me, 1) != 0
    _add(wrong, ids, wrong.size - 1, work)
    exchange_add(inside, 8 * me, -1)


@jit.parallel
def _enter_all(inside, ids, wrong, work):
    """Whether two iterations ever have the same number at once."""
    for i in prange(64):
        _enter(inside, ids, wrong, i, work)


@pytest.fixture(autouse=True)
def eight_threads():
    before = jit.get_threads()
    jit.set_threads(jit.max_threads())
    yield
    jit.set_threads(before)


@pytest.mark.parametrize("shares", [1, 2, 3, 7, 8, 255, 256, 257, 600])
@pytest.mark.parametrize("threads", [1, 2, 5, 8])
def test_every_share_is_run_once(shares, threads):
    jit.set_threads(min(threads, jit.max_threads()))
    counts, ids = np.zeros((2, 3 * shares), np.int64)
    before = numba.set_parallel_chunksize(3)  # so many iterations in a share
    for _ in range(50):
        _count(counts, ids, 10)
    numba.set_parallel_chunksize(before)
    assert (counts == 50).all()
    assert ids.min() >= 0 and ids.max() < jit.max_threads()


def test_all_members_help():
    """Each has its own number, and none has that of the one who calls."""
    counts, ids, seen = *np.zeros((2, 64), np.int64), set()
    for _ in range(100_000):  # on a busy machine a member may be asleep for many loops
        _count(counts, ids, 20_000)
        seen |= set(ids.tolist())
        if len(seen) == jit.get_threads():
            break
    assert seen == set(range(jit.get_threads()))


def test_no_two_have_the_same_number_at_once():
    inside = np.zeros(8 * jit.max_threads(), np.int64)
    wrong, ids = np.zeros((2, 65), np.int64)
    for _ in range(100):
        _enter_all(inside, ids, wrong, 300)
    assert not wrong[:64].any()


@pytest.mark.parametrize("pause", [0.0, 0.0002, 0.01])
def test_members_that_wait_and_members_that_sleep(pause):
    counts, ids = np.zeros((2, 16), np.int64)
    for _ in range(50):
        _count(counts, ids, 100)
        time.sleep(pause)
    assert (counts == 50).all()


def test_python_threads_at_once():
    """One has the crew, the others run their loops alone; then another has it."""
    results = []

    def run() -> None:
        jit.set_threads(jit.max_threads())
        counts, ids = np.zeros((2, 40), np.int64)
        for _ in range(2000):
            _count(counts, ids, 50)
        results.append((counts == 2000).all())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_a_loop_in_a_loop_of_users():
    counts = np.zeros((8, 8), np.int64)
    for _ in range(100):
        _count_rows(counts)
    assert (counts == 100).all()


@pytest.fixture
def easily_lost():
    """Members take every moment for the loss of their core."""
    memory = jit._crew._memory
    before = memory[loops.ABSENCE]
    memory[loops.ABSENCE] = -1_000_000_000
    yield
    memory[loops.ABSENCE] = before


def _away_until() -> list[int]:
    """Of each member, until when it stays away; 0: it does not."""
    places = range(loops._AWAY_UNTIL, loops._AWAY_UNTIL + 8 * jit.get_threads() - 8, 8)
    return [int(jit._crew._memory[place]) for place in places]


def test_who_lost_its_core_stays_away_and_others_do_its_share(easily_lost):
    counts, ids = np.zeros((2, 64), np.int64)
    loops_run, stayed = 0, [0] * (jit.get_threads() - 1)  # loops that each stayed away from
    while any(count < 100 for count in stayed):
        assert loops_run < 200_000  # one that is woken has to get a core before it can go again
        before = _away_until()
        _count(counts, ids, 1000)
        loops_run += 1
        for member, (was, until) in enumerate(zip(before, _away_until(), strict=True)):
            if was and was == until:
                stayed[member] += 1
                assert member + 1 not in ids
    assert (counts == loops_run).all()


def test_who_was_away_comes_back():
    memory = jit._crew._memory
    for member in range(jit.get_threads() - 1):
        memory[loops._AWAY_UNTIL + 8 * member] = time.monotonic_ns() + 20_000_000
    counts, ids = np.zeros((2, 64), np.int64)
    loops_run = 0
    while any(_away_until()):
        assert loops_run < 10_000
        _count(counts, ids, 1000)
        time.sleep(0.002)  # long enough for them to sleep, who are looked after when asleep
        loops_run += 1
    assert (counts == loops_run).all()
    test_all_members_help()


STINTS = """
import time
import numpy as np
from kernels import activation, jit
from kernels.threads import loops

jit.set_threads(2)
x, y = np.arange(-4000, 396_000, dtype=np.float32), np.empty(400_000, np.float32)
activation.relu(x, y)
memory = jit._crew._memory
memory[loops.ABSENCE] = -1_000_000_000  # every moment is taken for the loss of a core
rests, until = [], 0
while len(rests) < 20:
    activation.relu(x, y)
    if memory[loops._AWAY_UNTIL] > until:
        until = memory[loops._AWAY_UNTIL]
        rests.append(until - time.monotonic_ns())
y.fill(-1)
activation.relu(x, y)
assert (y == np.maximum(x, 0)).all()
print(max(rests) <= loops._STINT_NS)
"""


def test_one_of_two_works_in_stints_once_it_lost_its_core():
    """Staying away would be for 40 ms and more."""
    done = subprocess.run([sys.executable, "-c", STINTS], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


CROWDED = r"""
import os, subprocess, sys
import numpy as np
from kernels import activation, jit

jit.set_threads(8)
x, y = np.arange(-4000, 396_000, dtype=np.float32), np.empty(400_000, np.float32)
spin = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
busy = [
    subprocess.Popen([sys.executable, "-c", spin, str(os.getpid())])
    for _ in range(2 * os.cpu_count())
]
try:
    for k in range(2000):
        if k % 20 == 0:
            y.fill(-1)
        activation.relu(x, y)  # mostly one after the other: members are at the ready
        assert k % 20 or (y == np.maximum(x, 0)).all(), k
finally:
    for process in busy:
        process.kill()
print(True)
"""


def test_beside_busy_processes_nothing_is_lost():
    done = subprocess.run([sys.executable, "-c", CROWDED], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


FORKED = """
import os, warnings
warnings.simplefilter("ignore")
import numpy as np
from kernels import activation, jit

jit.set_threads(4)
x, y = np.arange(-4000, 396_000, dtype=np.float32), np.empty(400_000, np.float32)
activation.relu(x, y)
child = os.fork()
y.fill(-1)
for _ in range(50):
    activation.relu(x, y)
right = (y == np.maximum(x, 0)).all() and jit._crew.size >= 3
if child == 0:
    os._exit(0 if right else 1)
print(right and os.waitpid(child, 0)[1] == 0)
"""


def test_a_child_process_has_a_crew_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_a_system_that_gives_no_thread_is_no_error(monkeypatch):
    crew = jit._crew
    assert crew

    class Library:
        sem_init = crew._library.sem_init

        @staticmethod
        def pthread_create(*_: object) -> int:
            return 11  # EAGAIN

    monkeypatch.setattr(crew, "_library", Library)
    size = crew.size
    crew.enlist(size + 1)
    assert crew.size == size


@pytest.mark.parametrize("layer", ["tbb", "omp", "workqueue"])
def test_a_layer_of_numba_may_be_asked_for(layer):
    code = "from kernels import jit; print(jit.threading_layer(), jit._crew)"
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    if "is required" not in done.stderr and "could be loaded" not in done.stderr:
        assert done.stdout.split() == [layer, "None"], done.stderr


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_the_code_is_valid_for_both_architectures(triple):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(loops.write_module(triple))
    module.verify()
    assembly = llvm.Target.from_triple(triple).create_target_machine().emit_assembly(module)
    assert all(name in assembly for name in ("parallel_for", "member", "thread_id", "sem_wait"))
