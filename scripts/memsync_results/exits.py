"""The exit codes that every memsync verb shares, and the exception that carries one."""

from enum import IntEnum


class Exit(IntEnum):
    """Never 2 (`make` turns every failure into 2) and never Python's own 1."""

    OK = 0
    REGRESSION = 1  # a difference beyond the tolerance, or wrong bytes
    INCONCLUSIVE = 3  # too few or too noisy repetitions, or controls that failed
    INCOMPLETE = 4  # missing or failed cells, nothing ran
    UNSUPPORTED = 5  # this machine can't
    USAGE = 64  # wrong arguments, or an input this version cannot read
    INTERNAL = 70  # an exception nobody foresaw, results that can't be written
    INTERRUPTED = 130


class Refusal(Exception):
    """Ends a verb with one sentence for the user and an exit code.

    Raised where the reason is known; caught in `cli.main` alone.
    """

    def __init__(self, code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
