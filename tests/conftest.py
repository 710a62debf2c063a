"""What holds for all tests, whichever of them are run."""

import os
import signal

import pytest

import kernels  # noqa: F401 - before any test imports numba, whose threads it reserves
from fastcnn.runs import results
from fastcnn.training import compilation
from kernels import jit

# Where a test gives its children another home or cache, they find compiled code all the same, and
# leave none there.
if jit._store.writable is not None:
    os.environ["NUMBA_CACHE_DIR"] = str(jit._store.writable.parent)

# Where several tests run at once, every core compiles already.
compilation.uses_helper = False

# Under nohup, or behind a `&` of a script, these are ignored, and children take that over: rightly
# so, but tests send them.
for name in ("SIGHUP", "SIGQUIT"):
    number = getattr(signal, name, None)  # Windows has none
    if number is not None and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def undrawn(request, monkeypatch):
    """Runs within this process draw no pictures, which take longer than small runs do.

    For a whole file by `pytestmark`; a test that looks at pictures is marked `pictures`.
    """
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr(results, "_draw", lambda *_: None)
