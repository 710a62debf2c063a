"""A disk that is full, as a process of its own meets it."""

import os
import resource
import sys


def limit_files(size: int) -> None:
    """Let no file of this process, nor of those that it starts, grow beyond `size` bytes.

    For a `preexec_fn`, or after a fork. Python would cut the bytecode of what it imports, for
    every process that imports it afterwards (found with 3.11): it is told to write none.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
