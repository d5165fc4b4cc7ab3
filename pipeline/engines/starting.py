"""Ray takes 5 s and more to start on a machine of its own. Until it is there, plain processes work off tasks.

Each of them does what a Ray worker does (`pipeline.engines.worker`): it reads specs from its standard input, one JSON
object a line, and writes results. It leaves when Ray is ready; the task of one that dies goes to Ray, with the mark
of its attempt. Nothing of this can be seen in the output: a task is a pure function, wherever it runs.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

from pipeline.engines import Engine, largest_first
from pipeline.recipes.recipe import Run


class StartingEngine:
    """Ray on this machine, starting in a thread, and its early helpers. Errors: RunError if Ray does not start."""

    name = "ray"

    def __init__(self, run: Run) -> None:
        self._run = run
        self._session = uuid.uuid4().hex[:12]
        self._ray: Engine | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._closed = threading.Event()
        # helpers first: Ray's start sets variables of the environment, and a process that is started while their list is moved
        # does not start ("Bad address")
        self._helpers = [Helper() for _ in range(_spare_cores(run))]
        self._thread = threading.Thread(target=self._start, name="gristmill-start-ray", daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            from pipeline.engines.ray import RayEngine

            self._ray = RayEngine(self._run)
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()
        self._closed.wait()  # Ray's processes are made to die with the thread that started them

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        todo = deque(
            {"session": self._session, **spec, "attempts": self._run.attempts, "isolate": self._run.isolate}
            for spec in largest_first(specs)
        )
        early = _Early(self._helpers, todo, self._ready)
        yield from early.until_ready()
        if todo or not self._ready.is_set():
            self._ready.wait()
        if self._error is not None:
            raise self._error
        assert self._ray is not None
        yield from self._ray.map(_all_of(todo))
        yield from early.rest()
        yield from self._ray.map(_all_of(todo))  # what a helper died on since

    def close(self) -> None:
        for helper in self._helpers:
            helper.end()
        self._ready.wait()
        if self._ray is not None:
            self._ray.close()
        self._closed.set()
        self._thread.join()


def _all_of(todo: deque[dict[str, Any]]) -> list[dict[str, Any]]:
    taken = list(todo)
    todo.clear()
    return taken


def _spare_cores(run: Run) -> int:
    """Ray's own start keeps one core busy."""
    return max(1, (run.workers or len(os.sched_getaffinity(0))) - 1)


class _Early:
    """Tasks of one stage in the hands of helpers: a thread for each, until Ray is ready."""

    def __init__(self, helpers: list[Helper], todo: deque[dict[str, Any]], ready: threading.Event) -> None:
        self._todo = todo
        self._ready = ready
        self._results: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._working = 0
        for helper in helpers:
            if not ready.is_set() and helper.alive:
                self._working += 1
                threading.Thread(target=self._feed, args=(helper,), name="gristmill-feed", daemon=True).start()

    def _feed(self, helper: Helper) -> None:
        try:
            while not self._ready.is_set() and helper.alive:
                try:
                    spec = self._todo.popleft()
                except IndexError:
                    break
                result = helper.do(spec)
                if result is None:
                    self._todo.append(spec)
                else:
                    self._results.put(result)
            if self._ready.is_set():
                helper.end(kill=False)
        finally:
            self._results.put(None)

    def until_ready(self) -> Iterator[dict[str, Any]]:
        """Results until all helpers have stopped or Ray is there."""
        while self._working and not self._ready.is_set():
            try:
                result = self._results.get(timeout=0.1)
            except queue.Empty:
                continue
            if result is None:
                self._working -= 1
            else:
                yield result

    def rest(self) -> Iterator[dict[str, Any]]:
        """Results of what helpers were at when Ray came."""
        while self._working:
            result = self._results.get()
            if result is None:
                self._working -= 1
            else:
                yield result


class Helper:
    """A plain process that does tasks one after another."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from pipeline.engines.starting import serve; serve()"
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)
        self.alive = True

    def do(self, spec: dict[str, Any]) -> dict[str, Any] | None:
        """The result of one task; None if the process died."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(spec) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        if not line.endswith("\n"):
            self.end()
            return None
        return json.loads(line)

    def end(self, kill: bool = True) -> None:
        """The process ends: at once, or by itself where it has nothing to do."""
        self.alive = False
        if kill:
            self._process.kill()
        elif self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """A helper's life. Ends when its driver does: its input is closed then."""
    from pipeline.engines.worker import tried

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the whole group; the driver decides
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a task may print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(tried(json.loads(line))) + "\n")
        answers.flush()
