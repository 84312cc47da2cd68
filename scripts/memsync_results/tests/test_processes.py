"""Work in processes of its own: what comes back, and what does when something fails."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memsync_results.processes import in_processes

PACKAGE = Path(__file__).parents[2]


def test_results_come_in_the_order_of_the_calls():
    first_may_end = multiprocessing.get_context("fork").Event()

    def first():
        assert first_may_end.wait(60)
        return "first"

    def second():
        first_may_end.set()
        return os.getpid()

    with in_processes([first, second]) as wait:
        one, pid = wait()
    assert one == "first"
    assert pid != os.getpid()


def test_an_exception_is_the_callers_and_ends_the_others():
    def fails():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        with in_processes([fails, signal.pause]) as wait:
            wait()
    assert not multiprocessing.active_children()


def test_a_killed_process_is_noticed():
    with pytest.raises(ChildProcessError, match="was killed"):
        with in_processes([lambda: os._exit(9)]) as wait:
            wait()


def test_a_killed_caller_leaves_none_behind():
    script = (
        "import os, sys\n"
        "from memsync_results.processes import in_processes\n"
        "with in_processes([lambda: os.read(int(sys.argv[1]), 1) + bytes(1 << 20)]) as wait:\n"
        "    print('started', flush=True)\n"
        "    wait()\n"
    )
    work, permit = os.pipe()
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(work)], stdout=subprocess.PIPE, pass_fds=[work],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)})
    os.close(work)
    assert caller.stdout.readline() == b"started\n"
    caller.kill()
    os.close(permit)  # the work is done now, and nobody waits for it
    # Standard output ends when the worker has, which holds a copy of it.
    assert caller.communicate(timeout=60)[0] == b""
