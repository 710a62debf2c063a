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
    sys.stdin.buffer.read()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # nobody reads it any more
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = entry.run("train")
    # The thread still reads, and Python would wait for the buffer that it has locked.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
