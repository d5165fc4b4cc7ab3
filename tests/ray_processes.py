"""Processes of Ray: which there are, and how tests end their own and no others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path


def ray_processes() -> set[int]:
    """Processes of any Ray on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"raylet" in line or b"gcs_server" in line or line.startswith(b"ray::"):
                found.add(int(entry.name))
    return found


def await_end(before: set[int], seconds: float = 15) -> set[int]:
    """Ray processes that are new since `before` and do not end within `seconds`."""
    end = time.time() + seconds
    while time.time() < end and ray_processes() - before:
        time.sleep(0.3)
    return ray_processes() - before


def end_processes_of(folder: str) -> None:
    """Ends the processes that carry this cluster's folder in their command line, and no other Ray's."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if folder.encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def wait_for_port(port: int, seconds: float = 60) -> None:
    end = time.time() + seconds
    while time.time() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(2)
                return
        time.sleep(0.3)
    raise AssertionError(f"no Ray answered on port {port}")
