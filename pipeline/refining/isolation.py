"""Row steps in a process of their own: a document that crashes, hangs or eats memory in native code costs itself only.

In:  a batch of documents, after a worker died in this task (or always, if the recipe says so)
Out: what `pipeline.refining.row_steps.apply` gives, and for each document that the process could not survive a reason:

    error.crashed   detail "SIGSEGV"                      it ended the process
    error.killed    detail "SIGKILL"                      somebody ended the process; most often the system, for want of memory
    error.timeout   threshold 60 (seconds)                it took longer alone, of CPU, or ten times that of the clock
    error.memory    threshold 4e9 (bytes)                 it took more memory alone

A batch goes through whole; if the process dies of it, in pieces of 32, and of a piece that it dies of each document
alone. So nobody is blamed for others, and what the rest gives is the same, for rows do not depend on batches. Without
an accident nothing of this runs: see `watched` for how one is noticed.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from filters.step import reasons
from kernels.compile import cache_folder
from pipeline.commands.warmup import warm
from pipeline.errors import RunError
from pipeline.job import Job

PIECE = 32
"""Documents that share the blame before each is tried alone."""
POLL = 0.05
"""Seconds between looks at the clock and the memory of the process."""
PATIENCE = 10
"""Times the CPU seconds of a document that pass by the clock until a process that does nothing is ended; and times that a
batch may take of it, before a worker is taken for hung."""
START_SECONDS = 300.0
PAGE = resource.getpagesize()


class Died(Exception):
    """The process ended, or was ended. reason: as in the ledger; step: what it was at."""

    def __init__(self, reason: str, step: str, detail: str | None = None, threshold: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.step, self.detail, self.threshold = reason, step, detail, threshold


class Cell:
    """The process. What it starts with (libraries, steps, models) stays; each document that kills it kills a fork of it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._fork = 0  # its process id; 0 until it says so

    def apply(self, table: pa.Table) -> Iterator[tuple[str, Any]]:
        """As `pipeline.refining.row_steps.apply`, and documents that the process dies of go out with the reason."""
        try:
            yield from self._outcomes(table)
            return
        except Died as died:
            if len(table) == 1:
                why = reasons(1, [0], died.reason, threshold=died.threshold, detail=died.detail)
                yield died.step, (table, why)
                return
        size = PIECE if len(table) > PIECE else 1
        for start in range(0, len(table), size):
            yield from self.apply(_alone(table, start, size))

    def close(self) -> None:
        """Ends the process and its fork."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._process, self._fork = None, 0

    def _outcomes(self, table: pa.Table) -> list[tuple[str, Any]]:
        """What becomes of the documents, or `Died`."""
        self._ready()
        assert self._process and self._process.stdin and self._process.stdout
        guard = _Guard(self._fork, self._job.document_seconds, self._job.document_memory)
        step, got = "00.read", False
        try:
            _send(self._process.stdin, table)
            while True:
                kind, value = _receive(self._process.stdout, guard)
                if kind == "done":
                    return value
                if kind == "ended":
                    self._end_fork(got)
                    raise _death(value, step)
                if kind == "got":
                    got = True
                else:
                    step = value
        except _Over as over:
            self._kill_fork(got and not over.torn)
            raise Died(over.reason, step, None, over.limit) from None
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            raise Died("error.killed", step, "SIGKILL") from None

    def _end_fork(self, got: bool) -> None:
        """The fork ended. Had it not got the whole batch, the next one would read on from its middle: so the process goes, too."""
        self._fork = 0
        if not got:
            self.close()

    def _kill_fork(self, whole: bool) -> None:
        """Kills the fork; the process too, if not all of the batch, or half an answer, is in the pipes."""
        try:
            if not whole:
                raise EOFError("half a message")
            os.kill(self._fork, signal.SIGKILL)
            assert self._process and self._process.stdout
            guard = _Guard(self._process.pid, START_SECONDS / PATIENCE, 1 << 60)
            while _receive(self._process.stdout, guard)[0] != "ended":
                pass
            self._fork = 0
        except (OSError, EOFError, _Over, pickle.UnpicklingError):
            self.close()

    def _ready(self) -> None:
        """There is a fork that waits for documents. Errors: RunError."""
        if self._fork:
            return
        try:
            if self._process is None:
                self._process = _started(self._job)
            assert self._process.stdout
            guard = _Guard(self._process.pid, START_SECONDS, 1 << 60)
            self._fork = _receive(self._process.stdout, guard)[1]
        except (OSError, EOFError, _Over, pickle.UnpicklingError) as error:
            self.close()
            raise RunError(
                f"The process that documents are isolated in did not start ({error!r}). Memory or processes may be short on "
                "this machine; the same command goes on from here, and run.isolate=never does without."
            ) from error


def _alone(table: pa.Table, start: int, size: int) -> pa.Table:
    """Rows without their neighbours: a slice would be sent with the buffers of the whole table, and charged for them."""
    return table.take(pa.array(range(start, min(start + size, len(table)))))


def _started(job: Job) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from pipeline.refining.isolation import serve; serve()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes)
    _send(process.stdin, asdict(job))
    return process


def _death(status: int, step: str) -> Died:
    """From what `os.waitpid` says."""
    code = os.waitstatus_to_exitcode(status)
    name = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return Died("error.killed" if code == -signal.SIGKILL else "error.crashed", step, name)


class _Over(Exception):
    """A process took more than it may. torn: it had begun an answer."""

    torn = False

    def __init__(self, reason: str, limit: float) -> None:
        super().__init__(reason)
        self.reason, self.limit = reason, limit


class _Guard:
    """Looks at a process: CPU seconds, seconds and bytes since this was made."""

    def __init__(self, pid: int, seconds: float, memory: int) -> None:
        self._pid, self._seconds, self._memory = pid, seconds, memory
        self._began = time.monotonic()
        self._cpu, self._bytes = _usage(pid)

    def look(self) -> None:
        cpu, size = _usage(self._pid)
        if cpu - self._cpu > self._seconds or time.monotonic() - self._began > PATIENCE * self._seconds:
            raise _Over("error.timeout", float(self._seconds))
        if size - self._bytes > self._memory:
            raise _Over("error.memory", float(self._memory))


def _usage(pid: int) -> tuple[float, int]:
    """(CPU seconds, bytes in memory) of a process so far; zeros where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[21]) * PAGE


# -- what goes between: eight bytes of length, and a pickle ----------------------------------------


def _send(pipe: BinaryIO | Any, value: Any) -> None:
    data = pickle.dumps(value, protocol=5)
    pipe.write(struct.pack("<Q", len(data)) + data)
    pipe.flush()


def _receive(pipe: BinaryIO | Any, guard: _Guard | None = None) -> Any:
    size = struct.unpack("<Q", _exactly(pipe, 8, guard))[0]
    try:
        return pickle.loads(_exactly(pipe, size, guard))
    except _Over as over:
        over.torn = True
        raise


def _exactly(pipe: BinaryIO | Any, size: int, guard: _Guard | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        while guard and not select.select([pipe], [], [], POLL)[0]:
            guard.look()
        more = os.read(pipe.fileno(), min(size - len(data), 1 << 20))
        if not more:
            raise EOFError("the other side ended")
        data += more
    return bytes(data)


def serve() -> None:
    """The life of the process: a job, then a fork that works on batches, and another one whenever that dies."""
    from pipeline.engines.worker import ready

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a step may print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go where memory is short
    _die_with_parent()
    ready()
    if cache_folder() is None:
        warm()  # here, or each fork would compile, and documents would be blamed for it
    job = Job(**_receive(sys.stdin.buffer))
    steps = _telling(job, answers)
    while True:
        fork = os.fork()
        if not fork:
            _die_with_parent()
            with contextlib.suppress(EOFError):
                _work(job, steps, answers)
            os._exit(0)
        status = os.waitpid(fork, 0)[1]
        if status == 0:
            return
        _send(answers, ("ended", status))


def _telling(job: Job, answers: BinaryIO | Any) -> list[Any]:
    """The row steps of the job; each says its name before it begins."""
    from pipeline.refining.row_steps import build_steps

    def told(named: Any) -> Any:
        def step(*given: Any) -> Any:
            _send(answers, ("step", named.name))
            return named.step(*given)

        return replace(named, step=step)

    return [told(named) for named in build_steps(job)]


def _work(job: Job, steps: list[Any], answers: BinaryIO | Any) -> None:
    """Batches, until the input ends (EOFError)."""
    from pipeline.refining.row_steps import apply

    _send(answers, ("ready", os.getpid()))
    while True:
        table = _receive(sys.stdin.buffer)
        _send(answers, ("got", None))
        with _bounded(2 * job.document_memory):
            found = list(apply(steps, table))
        _send(answers, ("done", found))


def _die_with_parent() -> None:
    """Where the system can do it (Linux): a process that hangs does not outlive the one that waits for it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


# -- how an accident is noticed --------------------------------------------------------------------


@contextlib.contextmanager
def watched(job: Job) -> Iterator[None]:
    """Ends this process if the block takes absurdly long, and lets allocations fail that are absurdly large.

    A call into native code that hangs, with Python's lock held, cannot be interrupted from within: what is left is to end the
    process, by a thread that needs no lock (`faulthandler`; the stack is printed). Whoever schedules tries again, isolated.
    """
    if job.isolate == "never":
        yield
        return
    faulthandler.dump_traceback_later(PATIENCE * job.document_seconds, exit=True, file=2)
    try:
        with _bounded(2 * job.document_memory):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _bounded(more: int) -> Iterator[None]:
    """The address space of this process may grow by so many bytes in the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE + more
    except OSError:
        yield
        return
    if any(bound not in (resource.RLIM_INFINITY, -1) and bound < limit for bound in (soft, hard)):
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
