"""The measurements as a page: one line for each case, input and peer, gristmill's figures beside the peer's."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inputs import ROOT, where
from registry import OURS

if TYPE_CHECKING:
    from run import Job

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
HEAD = "| job | text | MB | gristmill MB/s | docs/s | RSS MB | peer | MB/s | docs/s | RSS MB | gristmill is | same answers |"
RULE = "|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|"


@dataclass(frozen=True)
class Side:
    """One runner's figures: MB of input and documents a CPU second, peak memory in bytes."""

    speed: float
    docs: float
    rss: float


@dataclass(frozen=True)
class Row:
    case: str
    kind: str
    megabytes: float
    ours: Side | None
    peer: str | None
    theirs: Side | None
    same: float | None
    error: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours.speed / self.theirs.speed if self.ours and self.theirs else None


def rows(jobs: list[Job], files: dict[str, dict[str, Any]]) -> list[Row]:
    """Peers beside gristmill on the same input; gristmill alone where no peer had that input."""
    found = []
    for case, kind in dict.fromkeys((job.runner.case, job.kind) for job in jobs):
        here = [job for job in jobs if (job.runner.case, job.kind) == (case, kind)]
        ours = {job.input: job for job in here if job.runner.name == OURS}
        peers = [job for job in here if job.runner.name != OURS]
        alone = [job for name, job in ours.items() if name not in {peer.input for peer in peers}]
        found += [_row(job, None, files) for job in alone]
        found += [_row(ours[peer.input], peer, files) for peer in peers]
    return found


def _row(ours: Job, peer: Job | None, files: dict[str, dict[str, Any]]) -> Row:
    file = files[ours.input]
    return Row(
        ours.runner.case,
        ours.kind,
        file["bytes"] / 1e6,
        _side(ours, file),
        peer.runner.name if peer else None,
        _side(peer, file) if peer else None,
        _agreement(ours, peer) if peer else None,
        ours.error or (peer.error if peer else ""),
    )


def _side(job: Job, file: dict[str, Any]) -> Side | None:
    if not job.runs:
        return None
    return Side(file["bytes"] / 1e6 / job.seconds, file["docs"] / job.seconds, job.rss)


def _agreement(ours: Job, peer: Job) -> float | None:
    """The share of documents with equal answers."""
    if not ours.runs or not peer.runs or peer.runs[0]["answers"] is None:
        return None
    pairs = list(zip(ours.runs[0]["answers"], peer.runs[0]["answers"], strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)


def page(lines: list[Row], jobs: list[Job], absent: list[tuple[str, str | None]], n: int, seconds: float) -> str:
    """The table with what is needed to read it and to make it again."""
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in _packages(jobs))
    parts = [
        f"Made by `python benchmarks/run.py{'' if n == 3 else f' -n {n}'}` on {time.strftime('%Y-%m-%d')} in {seconds / 60:.0f} minutes; "
        f"gristmill at {_commit()}.",
        f"Machine: {_machine()}. One process pinned to one core, CPU seconds, median of {n}.",
        f"Text: {where()}; pages: configs/demo/pages.warc.gz. MB are 10^6 bytes of UTF-8 text, or of HTML for pages. "
        "RSS is the peak resident memory of the process; its imports and models count.",
        f"Peers: {versions}.",
        "\n".join([HEAD, RULE, *(_line(row) for row in lines)]),
        *(
            f"{name}: not installed (asked for: {_asked(package)}, see benchmarks/requirements.txt)."
            for name, package in absent
        ),
    ]
    return "\n\n".join(parts)


def _line(row: Row) -> str:
    ratio = f"**{row.ratio:.{0 if row.ratio >= 10 else 1}f}x** as fast" if row.ratio else "failed" if row.error else ""
    same = f"{100 * row.same:.1f} %" if row.same is not None else ""
    cells = [row.case, row.kind, _number(row.megabytes), *_cells(row.ours), row.peer or "", *_cells(row.theirs)]
    return f"| {' | '.join([*cells, ratio, same])} |" + (f"\n| | {row.error} |||||||||||" if row.error else "")


def _cells(side: Side | None) -> list[str]:
    return [_number(side.speed), f"{side.docs:,.0f}", f"{side.rss / 1e6:,.0f}"] if side else ["", "", ""]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _packages(jobs: list[Job]) -> list[str]:
    return list(dict.fromkeys(job.runner.package for job in jobs if job.runner.package))


def _asked(package: str | None) -> str:
    text = "\n".join(path.read_text() for path in Path(__file__).parent.glob("requirements*.txt"))
    found = re.search(rf"{re.escape(package or '')}(\[\w+\])?==\S+", text)
    return found[0] if found else str(package)


def _machine() -> str:
    names = re.findall(r"^model name\s*: (.*)", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.findall(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    parts = [names[0] if names else platform.processor(), f"{os.cpu_count()} cores"]
    parts += [f"{int(memory[0]) / 2**20:.0f} GiB"] if memory else []
    return ", ".join([*parts, f"{platform.system()}, Python {platform.python_version()}"])


def _read(path: str) -> str:
    return Path(path).read_text() if os.path.exists(path) else ""


def _commit() -> str:
    release = importlib.metadata.version("gristmill")
    try:
        given = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **given).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **given).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return release
    return f"{release}, {head}{' with changes' if changed else ''}"


def write(path: Path, text: str) -> None:
    """Puts the page between the markers, at the end of the file if there are none."""
    old = path.read_text(encoding="utf-8")
    if BEGIN not in old:
        old = f"{old.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def below(lines: list[Row], floors: dict[str, dict[str, Any]]) -> list[str]:
    """What is under its floor: `CASE, KIND: {mb_per_s: 30}` of gristmill's fastest input, `{PEER: 20}` as ratios."""
    found = []
    for name, wanted in floors.items():
        here = [row for row in lines if f"{row.case}, {row.kind}" == name]
        for key, floor in wanted.items():
            if key == "mb_per_s":
                value = max((row.ours.speed for row in here if row.ours), default=None)
            else:
                value = next((row.ratio for row in here if row.peer == key), None)
                if value is None and not any(row.peer == key for row in here):
                    continue  # a peer that is not installed
            if value is None or value < floor:
                found.append(
                    f"{name}: {key} is {'not there' if value is None else f'{value:.3g}'}, the floor is {floor:g}"
                )
    return found
