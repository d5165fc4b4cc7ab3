"""One driver at a time: a lease file in the work folder, renewed while the driver lives.

Correctness does not hang on it (tasks commit once however many try); it spares users two runs that do everything twice.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from types import TracebackType

from pipeline.errors import RunError
from pipeline.files import storage

RENEW_SECONDS = 20.0
STALE_SECONDS = 90.0
"""A lease that was not renewed for this long is nobody's: its driver is dead, or was cut off."""


class Lease:
    """Context manager. Errors: RunError if another driver that seems alive holds the folder."""

    def __init__(self, output: str) -> None:
        self._path = storage.join(output, ".work", "lease.json")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="gristmill-lease")

    def __enter__(self) -> Lease:
        if storage.exists(self._path):
            self._check(json.loads(storage.read_bytes(self._path)))
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        storage.delete(self._path)

    def _check(self, holder: dict[str, object]) -> None:
        here = holder["host"] == socket.gethostname()
        if here and not _alive(int(str(holder["pid"]))):
            return
        age = time.time() - float(str(holder["time"]))
        if age < STALE_SECONDS:
            raise RunError(
                f"Another run works on this output: process {holder['pid']} on {holder['host']}, {age:.0f} s ago.\n"
                f"Wait for it, stop it, or give another output.path. (If it is gone, its lease ends by itself after {STALE_SECONDS:.0f} s.)"
            )

    def _write(self) -> None:
        storage.write_bytes(
            self._path, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()}).encode()
        )

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            self._write()


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # our own number from before a restart of the container: that driver is gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
