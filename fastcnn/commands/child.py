"""A training run that ends, after its batch, when the process that started it is gone.

That process holds the other end of our standard input, which closes even if it is killed. Without
this, a reproduction that was killed and started again would train beside what it left behind.
"""

import os
import signal
import sys
import threading

from . import entry


def _end_with_parent() -> None:
    # Not by sys.stdin: Python ends with a fatal error of its own, whatever else happened, while a
    # thread reads that.
    os.read(0, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # nobody reads it any more
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(entry.run("train"))
