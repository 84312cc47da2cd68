"""Work that goes on beside the caller's own, a forked process for each piece."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def in_processes(calls: Sequence[Callable[[], Any]]) -> Iterator[Callable[[], list[Any]]]:
    """Starts the calls; what it yields waits for their results, in the order of the calls.

    Results and exceptions are pickled, the calls are not; the first exception that a call raises
    is raised by the wait. Unlike the pools of the standard library this notices a process that was
    killed, and leaves none behind when its caller is.
    """
    context = multiprocessing.get_context("fork")
    workers = []
    try:
        for call in calls:
            receiver, sender = context.Pipe(duplex=False)
            inherited = [receiver, *(other for _, other in workers)]
            worker = context.Process(target=_run, args=(call, sender, inherited), daemon=True)
            worker.start()
            sender.close()
            workers.append((worker, receiver))
        yield lambda: [_result(receiver) for _, receiver in workers]
    finally:
        for worker, receiver in workers:
            worker.kill()  # has ended, unless something failed
            worker.join()
            receiver.close()


def _run(call: Callable[[], Any], sender: Connection, inherited: list[Connection]) -> None:
    for receiver in inherited:  # or it could send for ever to a caller that is gone
        receiver.close()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C is reported by the caller alone
    try:
        result = call()
    except Exception as error:
        result = error
    sender.send(result)


def _result(receiver: Connection) -> Any:
    try:
        result = receiver.recv()
    except EOFError:
        raise ChildProcessError("a process that did a part of the work was killed, perhaps for "
                                "want of memory: free some and run it again") from None
    if isinstance(result, Exception):
        raise result
    return result
