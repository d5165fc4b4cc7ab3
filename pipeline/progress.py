"""What a run tells while it works (stderr) and the funnel at its end (stdout)."""

from __future__ import annotations

import os
import shutil
import sys
import time
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from pipeline.splits.report import split_words

if TYPE_CHECKING:
    from pipeline.bars import Bars

WHAT = {
    "fit": "sampling for fitted rules",
    "fitted": "fitting rules",
    "refine": "reading and cleaning",
    "lines": "cutting repeated lines",
    "substrings": "cutting copied runs",
    "band": "dealing hashes",
    "index": "reading earlier corpora",
    "bucket": "gathering candidates",
    "match": "comparing candidates",
    "resolve": "choosing survivors",
    "sides": "joining groups",
    "assign": "dealing sides",
    "probe": "looking for leaks",
    "conflicts": "comparing labels",
    "mix": "weighing the mixture",
    "deal": "writing the ledger",
    "publish": "writing the corpus",
}
PLAIN_SECONDS = 5.0
"""Off a terminal a line at most this often: a log, not a film."""


class Silent:
    """Tells nothing (`--quiet`, `--json`)."""

    def stage(self, name: str, total: int, done: int, size: int) -> None: ...

    def task(self, result: dict[str, Any]) -> None: ...

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def close(self) -> None: ...


class Tally:
    """Documents, bytes and speed of the stage at hand."""

    def __init__(self) -> None:
        self.start("", 0)

    def start(self, name: str, size: int) -> None:
        self.name, self.size, self.size_done, self.began = name, size, 0, time.perf_counter()
        self.read = self.kept = self.bytes = 0

    def add(self, result: dict[str, Any]) -> None:
        self.size_done += result.get("size", 0)
        if self.name == "refine":
            counts = result["counts"]
            self.read += counts["account"]["read"]
            self.kept += counts["account"]["kept"]
            self.bytes += counts["bytes"]

    def text(self) -> str:
        if self.name != "refine" or not self.read:
            return ""
        speed = self.bytes / 1e6 / max(time.perf_counter() - self.began, 1e-9)
        return f"{self.read:,} documents, {speed:.1f} MB/s, {self.kept / self.read:.0%} kept"


class Lines:
    """Plain lines, for logs."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._total = self._done = 0
        self._told = 0.0

    def stage(self, name: str, total: int, done: int, size: int) -> None:
        self._tally.start(name, size)
        self._total, self._done = total, done
        there = f", {done} done before" if done else ""
        self._say(f"{name}: {WHAT.get(name.split('-')[0], '')}, {total} task{'s' * (total != 1)}{there}")

    def task(self, result: dict[str, Any]) -> None:
        self._tally.add(result)
        self._done += 1
        if self._tally.name == "refine" and (
            time.perf_counter() - self._told > PLAIN_SECONDS or self._done == self._total
        ):
            self._say(f"refine: {self._done}/{self._total} tasks, {self._tally.text()}{self._left()}")

    def _left(self) -> str:
        tally = self._tally
        if not tally.size_done or self._done == self._total:
            return ""
        seconds = (time.perf_counter() - tally.began) * (tally.size - tally.size_done) / tally.size_done
        return f", {seconds:.0f} s left"

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self._told = time.perf_counter()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None: ...


def reporter(quiet: bool) -> Silent | Bars | Lines:
    """Bars on a terminal, lines in a log, nothing if asked."""
    if quiet:
        return Silent()
    if not sys.stderr.isatty():
        return Lines()
    from pipeline.bars import Bars

    return Bars()


# -- the funnel ------------------------------------------------------------------------------------


def funnel(manifest: dict[str, Any]) -> str:
    """What became of the documents, top to bottom: read, dropped by each reason, duplicates, kept per split."""
    account = manifest["account"]
    read = max(account["read"], 1)
    rows = [("read", "", account["read"])]
    if account["quarantined"]:
        rows.append(("quarantined", "could not be read", -account["quarantined"]))
    rows += [
        (step, reason, -n)
        for step, reasons in manifest["rejected"].items()
        for reason, n in sorted(reasons.items(), key=lambda kv: -kv[1])
    ]
    rows.append(("kept", "", account["kept"]))
    rows += [(f"  {name}", "", n) for name, n in manifest["splits"].items()]
    left, middle = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
    lines = [f"{step:<{left}}  {reason:<{middle}}  {n:>10,}  {abs(n) / read:>6.1%}" for step, reason, n in rows]
    lines += [_cut_words(step, found) for step, found in manifest["cut"].items()]
    lines += _found_words(manifest.get("decontamination", {}))
    # the readers, which --help does without
    from pipeline.mixtures.augmented import augment_words
    from pipeline.mixtures.labels import labels_words
    from pipeline.mixtures.mixture import mix_lines
    from pipeline.output.told import told_words

    lines += told_words(manifest) + labels_words(manifest.get("labels")) + augment_words(manifest.get("augment"))
    return "\n".join([*lines, *(mix_lines(manifest["mix"]) if manifest.get("mix") else [])])


def _cut_words(step: str, found: dict[str, Any]) -> str:
    """What a step that cuts texts took from documents that stay, or did until then."""
    what = next(name for name in ("lines", "substrings") if name in found)
    text = f"{step} cut {found[what]:,} {what} ({found['bytes'] / 1e6:,.1f} MB) from {found['documents']:,} documents"
    for top in found.get("most_removed", [])[:1]:
        text += f"; most often '{shorten(top['line'], 60, placeholder=' ...')}', {top['removed']:,} times"
    return text


def _found_words(told: dict[str, Any]) -> list[str]:
    """What a step `decontaminate` found, a line for each file."""
    lines = []
    for step, files in told.items():
        for name, found in files.items():
            line = f"{step} found {found['items_hit']:,} of {found['items']:,} items of {name} in {found['documents']:,} documents"
            short = f" ({found['too_short']:,} too short to be looked for)" if found["too_short"] else ""
            lines.append(line + short)
    return lines


def end_words(
    manifest: dict[str, Any], output: str, seconds: float, already: bool = False, compiling: float = 0.0
) -> str:
    """Time, speed, damage and where to look next. `compiling`: seconds of those that kernels took to compile, once."""
    size = manifest["bytes"]["read"] / 1e6
    speed = "" if already else f", {size / max(seconds - compiling, 1e-9):.2f} MB/s"
    once = f" (and {compiling:.0f} s of compiling, once per release)" if compiling else ""
    lines = [f"{seconds - compiling:.1f} s{once}, {size:.1f} MB of input text and pages{speed}"]
    dedup = manifest["dedup"]
    if dedup["pairs_left_uncompared"]:
        lines.append(
            f"{dedup['pairs_left_uncompared']:,} pairs in very large groups were not compared; those documents share a split."
        )
    if dedup["repeated_ids"]:
        lines.append(
            f"{dedup['repeated_ids']:,} records repeat the source and id of another; they are told apart by their text."
        )
    lines += split_words(manifest)
    for word, why in (("damaged", "read up to the damage"), ("quarantined", "not read")):
        lines += [f"{word} ({why}): {shard}: {error}" for shard, error in manifest["shards"][word].items()]
    return "\n".join(lines)


def next_words(output: str, split: str, loads: bool) -> str:
    """Where to look after a run; `loads`: `datasets` reads the corpus."""
    command = command_name()
    places = [
        (f"{output}/{split}/", "the corpus" + (f"; datasets.load_dataset('{output}') reads it" if loads else "")),
        (f"{output}/rejected/", "every document that was not kept, with the reason"),
        (f"{output}/report.html", "all of this with examples, for a browser"),
        (f"{command} check {output}", "proves sums, hashes and the absence of leaks"),
        (f"{command} explain {output} ID", "the life of one document"),
    ]
    width = max(len(place) for place, _ in places)
    return "\n".join(["", "Look next:", *(f"  {place:<{width}}  {what}" for place, what in places)])


def command_name() -> str:
    """How this command is called here: its name if it is on the path, else where it lies."""
    called = sys.argv[0]
    if os.path.basename(called) != "gristmill" or shutil.which("gristmill"):
        return "gristmill"
    return os.path.relpath(called)


def scores(found: dict[str, Any]) -> str:
    """What training a classifier found: figures for each label, and its thresholds."""
    lines = [f"{found['train']:,} texts to train on, {found['held_out']:,} held out", ""]
    for label, figures in found["labels"].items():
        lines.append(
            f"{label}: precision {figures['precision']:.3f}, recall {figures['recall']:.3f}, F1 {figures['f1']:.3f}"
        )
        lines.append("  threshold   kept  precision  recall")
        lines += [
            f"  {row['threshold']:9.2f}  {row['kept']:5.3f}  {row['precision']:9.3f}  {row['recall']:6.3f}"
            for row in figures["thresholds"]
        ]
    return "\n".join(lines)
