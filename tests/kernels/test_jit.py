"""The kernels' rules: no upward import, a cache that notices edits, threads within bounds."""

import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import pytest

from kernels import cores, jit
from kernels.threads import threads_advice

KERNELS = Path(jit.__file__).parent


def test_kernels_never_import_fastcnn():
    for file in KERNELS.rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.strip().startswith(("import fastcnn", "from fastcnn")), file


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels, to edit."""
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_every_file_of_every_folder_is_in_the_checksum(package):
    files = sorted(package.rglob("*.py"))
    assert {file.parent for file in files} > {package}
    seen = {jit.source_checksum(package)}
    for file in files:
        file.write_text(file.read_text() + "# an edit\n")
        seen.add(jit.source_checksum(package))
    assert len(seen) == len(files) + 1


@pytest.mark.parametrize("folder", ["", "tile"])
def test_cache_notices_an_edit_in_another_file(tmp_path, package, folder):
    helper = package / folder / "helper.py"
    assert (helper.parent / "__init__.py").is_file()
    helper.write_text("from kernels import jit\n@jit.serial\ndef number():\n    return 1\n")
    name = ".".join(("kernels", *filter(None, (folder,)), "helper"))
    (package / "caller.py").write_text(
        f"from kernels import jit\nfrom {name} import number\n"
        "@jit.serial\ndef call():\n    return number() + 10\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(tmp_path)

    def call() -> tuple[int, int]:
        """The result in a new process, and how many compiled functions came from the cache."""
        code = "from kernels.caller import call; print(call(), len(call.stats.cache_hits))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        number, hits = map(int, done.stdout.split())
        return number, hits

    assert call() == (11, 0)
    assert call() == (11, 1)
    helper.write_text(helper.read_text().replace("return 1", "return 2"))
    assert call() == (12, 0)


@pytest.mark.parametrize("threads", [0, -1, 10_000, True, 1.5])
def test_threads_out_of_bounds(threads):
    with pytest.raises(ValueError, match="threads must be a whole number from 1 to"):
        jit.set_threads(threads)


def test_available_cores_respects_a_quota(monkeypatch):
    monkeypatch.setattr("kernels.cores._cgroup_quota", lambda: 1.5)
    assert cores.available_cores() <= 2


@pytest.mark.parametrize(
    ("parent", "given", "threads"),
    [
        (object(), "2", 2),
        (object(), "2,1", 2),
        (object(), "9", 4),
        (object(), "0", 1),
        (object(), "", 4),
        (object(), "many", 4),
        (None, "2", 4),
    ],
)
def test_a_worker_uses_its_share_of_the_cores(monkeypatch, parent, given, threads):
    monkeypatch.setattr(cores, "available_cores", lambda: 4)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: parent)
    assert cores.usual_threads({"OMP_NUM_THREADS": given}) == threads


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({}, math.inf),
    ],
)
def test_quota_is_read_from_the_container(tmp_path, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores._cgroup_quota(tmp_path) == quota


def run(code: str, **variables: str) -> str:
    """What the code prints in a process of its own, which must not fail or warn."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **variables}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_numba_imported_before(tmp_path):
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}  # so that something is compiled
    variables.pop("NUMBA_NUM_THREADS", None)
    code = "import numba; from kernels.shares import share; share(9, 0)"
    subprocess.run([sys.executable, "-c", code], env=variables, check=True)


TRAIN_AT_ONCE = """
import threading, warnings
warnings.filterwarnings("ignore", "Numba runs without TBB", RuntimeWarning)
from fastcnn import Sequential, datasets
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from kernels import jit

digits = datasets.load("digits").limit(300, 50)

def train(seed):
    model = Sequential(
        Conv2D(1, 8, 3), ReLU(), MaxPool2D(2), Flatten(), Dense(8 * 13 * 13, 10), seed=seed
    )
    jit.set_threads(2)
    model.train(digits.x_train, digits.y_train, epochs=3, batch_size=100)
    return model.parameters.values.tobytes()

alone = [train(seed) for seed in (1, 2, 3)]
together = [None] * 3
threads = [
    threading.Thread(target=lambda seed: together.__setitem__(seed - 1, train(seed)), args=(seed,))
    for seed in (1, 2, 3)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert together == alone
print(jit.threading_layer())
"""


FIRST_CALL_IN_A_THREAD = """
import threading
import numpy as np
from fastcnn.layers import Dense
from kernels import jit

x, results = np.ones((2, 8), np.float32), []

def call():
    layer = Dense(8, 4, seed=0)
    y = layer.forward(x, training=True)
    results.append((y.tobytes(), layer.backward(y).tobytes()))

thread = threading.Thread(target=call)
thread.start()
thread.join()
call()
assert results[0] == results[1]
print("done")
"""


@pytest.mark.parametrize("most", ["1", "8"])
def test_a_small_layer_in_a_thread_of_its_own(most):
    """The thread has never entered a parallel region, and has no number there."""
    assert run(FIRST_CALL_IN_A_THREAD, NUMBA_NUM_THREADS=most).strip() == "done"


def test_python_threads_train_at_once():
    assert run(TRAIN_AT_ONCE).strip() == jit.threading_layer()


@pytest.mark.parametrize("layer", sorted({"workqueue", numba.threading_layer()}))
def test_python_threads_train_at_once_with_a_layer_of_numba(layer):
    assert run(TRAIN_AT_ONCE, NUMBA_THREADING_LAYER=layer).strip() == layer


def test_workqueue_says_what_to_install():
    code = "import kernels.jit, kernels.activation"
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.count(threads_advice(sys.platform, platform.machine())) == 1


@pytest.mark.parametrize(
    ("system", "machine", "cure"),
    [
        ("linux", "x86_64", "pip install tbb"),
        ("win32", "AMD64", "pip install tbb"),
        ("linux", "aarch64", "apt install libgomp1"),
        ("darwin", "arm64", "brew install libomp"),
        ("darwin", "x86_64", "brew install libomp"),
    ],
)
def test_the_advice_fits_the_platform(system, machine, cure):
    assert cure in threads_advice(system, machine)


@pytest.mark.parametrize(
    ("machine", "variables", "features"),
    [
        ("x86_64", {}, None),
        ("AMD64", {"NUMBA_CPU_FEATURES": "+avx2"}, None),
        ("aarch64", {}, "+neon,-fp16,-sve"),
        ("arm64", {}, "+neon,-fp16,-sve"),
        ("aarch64", {"NUMBA_CPU_FEATURES": "+neon"}, "+neon,-sve"),
        ("aarch64", {"NUMBA_CPU_FEATURES": ""}, "-sve"),
        ("aarch64", {"NUMBA_CPU_FEATURES": "+neon,+sve2"}, "+neon,+sve2,-sve"),
        ("aarch64", {"NUMBA_CPU_FEATURES": "+sve"}, None),
        ("aarch64", {"NUMBA_CPU_FEATURES": "+neon,-sve"}, None),
        ("aarch64", {"NUMBA_CPU_NAME": "neoverse-v1"}, "-sve"),
    ],
)
def test_numba_is_kept_from_sve(monkeypatch, machine, variables, features):
    monkeypatch.setattr(cores, "_host_features", lambda: "+neon,-fp16")
    assert cores.features_without_sve(machine, variables) == features


def test_the_host_s_features_are_numba_s():
    listed = set(cores._host_features().split(","))
    assert listed == set(llvm.get_host_cpu_features().flatten().split(","))
    assert len(listed) > 1


def test_sve_that_slipped_in_is_seen():
    assert cores.uses_sve("aarch64", "+neon,+sve")
    assert not cores.uses_sve("aarch64", "+neon,+sve2,-sve")
    assert not cores.uses_sve("x86_64", "+sve")


@pytest.mark.parametrize(
    ("triple", "cpu", "features", "size", "has_fma", "rows", "pieces"),
    [
        ("x86_64-unknown-linux-gnu", "skylake-avx512", "", 64, True, 14, False),
        ("x86_64-unknown-linux-gnu", "znver4", "", 64, True, 14, False),
        ("x86_64-unknown-linux-gnu", "sapphirerapids", "-prefer-256-bit", 64, True, 14, False),
        ("x86_64-unknown-linux-gnu", "haswell", "", 32, True, 6, True),
        ("x86_64-unknown-linux-gnu", "znver3", "", 32, True, 6, True),
        ("x86_64-unknown-linux-gnu", "sandybridge", "", 16, False, 6, False),
        ("x86_64-unknown-linux-gnu", "x86-64", "+sse2", 16, False, 6, False),
        ("aarch64-unknown-linux-gnu", "neoverse-n1", "", 16, True, 12, False),
        ("arm64-apple-darwin", "apple-m1", "", 16, True, 12, False),
    ],
)
def test_what_a_processor_has(triple, cpu, features, size, has_fma, rows, pieces):
    if cpu == "znver4" and llvm.llvm_version_info[0] < 16:
        pytest.skip("LLVM 15, of Numba 0.61, ends the process at a processor that it does not know")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    found = jit.target_of(triple, cpu, features)
    assert (found.register_bytes, found.has_fma) == (size, has_fma)
    assert (found.tile_rows, found.tile_vectors) == (rows, 2)
    assert found.stores_pieces == pieces


FORK = """
import os
import numpy as np
from kernels import activation

x = np.linspace(-1, 1, 1 << 17, dtype=np.float32)
expected = activation.relu(x, y := np.empty_like(x)) or y.copy()
child = os.fork()
if child == 0:
    y[:] = 0
    activation.relu(x, y)
    os._exit(0 if (y == expected).all() else 1)
print(os.waitpid(child, 0)[1])
"""


FORK_BESIDE_A_THREAD = """
import os, threading, time, warnings
warnings.filterwarnings("ignore", "Numba runs without TBB", RuntimeWarning)
import numpy as np
from kernels import activation, jit

x, over = np.linspace(-1, 1, 1 << 20, dtype=np.float32), threading.Event()
y = np.empty_like(x)
activation.relu(x, y)

def work():
    z = np.empty_like(x)
    while not over.is_set():
        activation.relu(x, z)

thread = threading.Thread(target=work)
thread.start()
codes = []
for _ in range(20):
    time.sleep(0.003)
    child = os.fork()
    if child == 0:
        with jit._turn:  # which the thread may have had
            os._exit(0)
    for _ in range(10_000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        break
    codes.append(status)
over.set()
thread.join()
print(codes == [0] * 20)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_fork_is_not_left_waiting_for_its_turn():
    code = FORK_BESIDE_A_THREAD
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True", done.stderr


SIGNAL_IN_A_KERNEL = """
import signal, warnings
warnings.filterwarnings("ignore", "Numba runs without TBB", RuntimeWarning)
import numpy as np
from kernels import activation

x, y, z, called = np.ones(1 << 20, np.float32), *np.empty((2, 1 << 20), np.float32), []

def handle(number, frame):
    activation.relu(x, z)
    called.append(number)
    signal.setitimer(signal.ITIMER_REAL, 0.001)  # not before: no handler within a slow handler

activation.relu(x, y)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while len(called) < 100:
    activation.relu(x, y)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no such signals")
def test_a_signal_handler_runs_kernels_of_its_own():
    assert run(SIGNAL_IN_A_KERNEL, NUMBA_THREADING_LAYER="workqueue").strip() == "done"


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import fastcnn.layers"],
        ["-c", "import fastcnn; fastcnn.set_backend('loop'); fastcnn.models.build('lab-cnn')"],
        ["-m", "fastcnn.train", "--backend", "loop"],
        ["-m", "fastcnn.plot", "all", "run"],
    ],
)
def test_python_without_a_compiler_is_refused_in_a_sentence(command):
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert "fastcnn cannot run with NUMBA_DISABLE_JIT set" in last
    if command[0] == "-m":
        assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")


@pytest.mark.parametrize(("name", "value"), [
    ("NUMBA_NUM_THREADS", "0"), ("NUMBA_NUM_THREADS", "-1"), ("NUMBA_NUM_THREADS", "two"),
    ("NUMBA_THREADING_LAYER", "pthreads"), ("NUMBA_THREADING_LAYER", ""),
])  # fmt: skip
def test_threads_that_mean_nothing_are_refused_in_a_sentence(name, value):
    done = subprocess.run(
        [sys.executable, "-m", "fastcnn.plot", "all", "run"], env={**os.environ, name: value},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert done.stderr.startswith(f"error: the variable {name} must be ")
    assert f"got {value!r}" in done.stderr


def test_an_empty_number_of_threads_is_none():
    code = "from kernels import jit, cores; print(jit.max_threads() >= cores.available_cores())"
    assert run(code, NUMBA_NUM_THREADS="").strip() == "True"


def test_loops_need_no_compiler():
    code = "from kernels import loop, im2col"
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True
    )


@pytest.mark.skipif(
    not hasattr(os, "fork") or jit.threading_layer() == "omp",
    reason="OpenMP ends a forked child that runs a kernel",
)
def test_forked_child_runs_kernels():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr
