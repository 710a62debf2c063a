"""Signals that the system gives to another thread while the main thread waits."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fastcnn.commands.waking import awake

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="this system gives no signal to a thread"
)

WAITS = {
    "a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a result": "ThreadPoolExecutor(1).submit(time.sleep, 600).result()",
    "many results": "list(ThreadPoolExecutor(1).map(time.sleep, [600]))",
    "the end of a pool": "exec('with ThreadPoolExecutor(1) as p: p.submit(time.sleep, 600)')",
    "a queue": "queue.Queue().get()",
    "a simple queue": "queue.SimpleQueue().get()",
    "an event": "threading.Event().wait()",
    "a thread": "threading.Thread(target=time.sleep, args=(600,)).start(); last().join()",
    "a process": "subprocess.run(['sleep', '60'], stdout=null, stderr=null)",
    "a pipe": "os.read(os.pipe()[0], 1)",
    "a moment": "time.sleep(600)",
}

COMMAND = """
import os, queue, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from fastcnn.commands import entry

null = subprocess.DEVNULL

def last():
    return threading.enumerate()[-1]

def strike():
    time.sleep(float(sys.argv[2]))
    for number in map(int, sys.argv[3:]):
        signal.pthread_kill(threading.get_ident(), number)  # this thread gets it, not the main one
    time.sleep(600)

def work(_):
    threading.Thread(target=strike, daemon=True).start()
    exec(sys.argv[1])

entry.guarded(work)
"""


@pytest.mark.parametrize("wait", list(WAITS.values()), ids=list(WAITS))
def test_a_signal_that_another_thread_got_ends_every_wait(wait):
    numbers = [str(int(signal.SIGINT)), str(int(signal.SIGTERM))]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, wait, "0.2", *numbers],
        capture_output=True, text=True, timeout=300, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "interrupted before the work began\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1])
def test_a_handler_that_returns_is_called_once_and_the_wait_goes_on(number):
    calls, over = [], threading.Event()

    def strike() -> None:
        for count in (1, 2):
            signal.pthread_kill(threading.get_ident(), number)
            while len(calls) < count:
                time.sleep(0.001)
        over.set()

    before = signal.signal(number, lambda got, _: calls.append(got))
    try:
        with awake():
            threading.Thread(target=strike, daemon=True).start()
            over.wait()
            time.sleep(0.1)  # nothing comes after that
    finally:
        signal.signal(number, before)
    assert calls == [number, number]


def test_what_was_there_before_is_given_back():
    threads, handler = threading.active_count(), signal.getsignal(signal.SIGURG)
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with awake(), awake():
        assert signal.getsignal(signal.SIGURG) != handler
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGURG) == handler
    assert signal.set_wakeup_fd(-1) == -1
    if files is not None:
        assert len(os.listdir("/proc/self/fd")) == files


def test_in_another_thread_nothing_changes():
    def work() -> None:
        with awake():
            seen.append(signal.getsignal(signal.SIGURG))

    seen: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGURG)]


def test_signals_that_come_together_are_answered_once():
    # To this thread: another one, which blocks none of them, would be given the first at once.
    code = (
        "import signal, threading\n"
        "from fastcnn.commands import entry\n"
        "def work(_):\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 16))\n"
        "    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):\n"
        "        signal.pthread_kill(threading.get_ident(), number)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 16))\n"
        "    return 1\n"
        "entry.guarded(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 143  # SIGHUP, the lowest number, comes first
    assert done.stderr == "interrupted before the work began\n"
