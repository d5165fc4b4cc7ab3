"""Stage sides: what decides about the split beyond a hash: groups joined, times, numbers, strata. One task in the recipe's
memory; recipes that ask for none of it have no such stage (`units.needed`).

    names, units       own names -> units (`pipeline.splits.units`)
    spanning, periods  units whose documents are of several times, and the split of their earliest document's time + 1
    chosen, chosen_to  units whose side is not that of their hash, and that side (both by the hash of `order_seed`)
    counts: "bounds"   {stratum: edges between the shares}, where the plain ones would miss the shares asked for
            "largest"  the largest units: documents, own names in them (groups), one document's id

Kept documents, as rows of `pipeline.splits.unit_rows`, are dealt by their unit's hash into parts that are sorted in memory, so that
units come in the order of a hash: numbers take the first, strata are counted off along it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dedup.candidates import changes
from dedup.graph_files import Room, Sizes, Spool
from pipeline.errors import RunError
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, manifests, opened, output_rows
from pipeline.job import Job
from pipeline.matching.groups import mixed, numbers
from pipeline.matching.older import compared
from pipeline.splits.columns import REST
from pipeline.splits.strata import Strata, by_share, order_seed, share_draws
from pipeline.splits.unit_rows import CODE, COUNT, DOC, OTHER, TIME, UNIT, WIDTH, Largest, counts_of, merged, periods_of
from pipeline.splits.units import Members, join, members, renamed, shared_names

PART_ROWS = 1 << 21
"""Documents of a part, about: 100 MB, and as much again while they are sorted."""

UNDATED = np.uint64(0xFFFFFFFFFFFFFFFF)


def sides(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: names that are not their unit's; what was decided of units, where the recipe asks for more than joining."""
    this_round = task["round"]
    with tempfile.TemporaryDirectory(prefix="gristmill-sides-") as scratch:
        room = Room(scratch, Sizes.within(job.memory // 4, WIDTH))
        shared = shared_names(job, room)
        names, units = join(job, this_round, attempt, shared, scratch)
        deciding = _Deciding(job, attempt, f".work/sides-{this_round}")
        counts: dict[str, Any] = {"joined": len(names)}
        if any(job.publish["split"][key] for key in ("by", "stratify", "counts", "times")):
            bits = _bits(job)
            deciding.largest = Largest(room.spool("names", 3, 1 << bits), deciding.dropping)
            spool = room.spool("documents", WIDTH, 1 << bits)
            for some in members(job, this_round, shared):
                _deal(some, (names, units), spool, deciding)
            deciding.strata.open(room, len(spool))
            for part in range(len(spool)):
                deciding.take(part, spool.whole(part))
                spool.drop(part)
            counts |= deciding.told()
        deciding.close()
    return counts


def _bits(job: Job) -> int:
    """Parts as a power of two: they change nothing but what is held at once."""
    docs = sum(output_rows(manifest, "docs") for manifest in compared(job))
    return (docs // min(PART_ROWS, job.memory // 512)).bit_length()


def _deal(some: Members, joined: tuple[np.ndarray, np.ndarray], spool: Spool, deciding: _Deciding) -> None:
    """Adds the rows of one task's documents, to parts by the hash of the unit."""
    deciding.see(some.features)
    rows = np.empty((len(some.own), WIDTH), np.uint64)
    rows[:, UNIT], rows[:, COUNT] = renamed(some.own, *joined), 1
    rows[:, OTHER] = rows[:, UNIT] != some.own
    rows[:, DOC] = numbers(some.index, 0, int(some.rows.max(initial=-1)) + 1)[some.rows]
    rows[:, CODE], rows[:, TIME] = _period_and_stratum(some.features, deciding.strata)
    deciding.largest.see(some.own, rows)
    deciding.rest += int((periods_of(rows) == REST).sum())
    rows, bits = merged(rows), len(spool).bit_length() - 1
    drawn = mixed(rows[:, UNIT], deciding.order_seed)
    spool.add((drawn >> np.uint64(64 - bits)).astype(np.int64) if bits else 0, rows)


def _period_and_stratum(features: pa.Table, strata: Strata) -> tuple[np.ndarray, np.ndarray]:
    n = len(features)
    period, time = np.full(n, REST, np.int64), np.full(n, UNDATED)
    if "period" in features.schema.names:
        period = features["period"].to_numpy().astype(np.int64)
        column = features["time"].combine_chunks()
        moment = column.fill_null(0).to_numpy().astype(np.uint64) + np.uint64(1 << 63)  # in the order of int64
        time = np.where(column.is_valid().to_numpy(zero_copy_only=False), moment, UNDATED)
    return (period + 1).astype(np.uint64) << np.uint64(32) | strata.codes(features), time


@dataclass
class _Deciding:
    """Takes the parts in order, and writes what is decided of their units."""

    job: Job
    attempt: Attempt
    prefix: str
    rest: int = 0
    present: dict[str, int] = field(default_factory=dict)
    largest: Largest = field(init=False)

    def __post_init__(self) -> None:
        publish = self.job.publish
        self.publish, self.more = publish, publish["split"]
        self.order_seed, self.pick_seed = order_seed(publish), 2 * publish["seed"] + (1 << 33)
        self.left = [count for _, count in self.more["counts"]]
        self.dropping = bool(self.more["times"]) and self.more["spanning"] == "drop"
        self.strata = Strata(publish)
        self._spanning = [self._file(name) for name in ("spanning", "periods")]
        self._chosen = [self._file(name) for name in ("chosen", "chosen_to")]

    def _file(self, name: str) -> Any:
        output = self.attempt.create(name, f"{self.prefix}/{name}.u64")
        return output, open(output.temp, "wb")

    def close(self) -> None:
        for _, file in (*self._spanning, *self._chosen):
            file.close()

    def see(self, features: pa.Table) -> None:
        """Counts documents, and those that have a value in each column of `by`."""
        self.present[""] = self.present.get("", 0) + len(features)
        for number, name in enumerate(self.more["by"], 1):
            self.present[name] = self.present.get(name, 0) + len(features) - features[f"group{number}"].null_count

    def take(self, part: int, rows: np.ndarray) -> None:
        """The units of one part, in the order of their hash."""
        rows = rows[np.lexsort((rows[:, TIME], mixed(rows[:, UNIT], self.order_seed)))]
        rows, starts, period = self._one_time(rows)
        sizes = np.add.reduceat(counts_of(rows), starts) if len(starts) else starts
        self.largest.take(rows, starts, sizes, period)
        rest = period == REST
        to = np.full(len(starts), REST)  # what is chosen for a unit, if anything is
        if self.more["counts"]:
            self._numbers(rows[starts, UNIT], sizes, rest, to)
        self._shares(part, rows, starts, sizes, rest & (to == REST), to)
        chosen = np.flatnonzero(to != REST)
        self._append(self._chosen, rows[starts[chosen], UNIT], to[chosen])

    def _one_time(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows that stay, the first of each unit, and the split of each unit's time: its earliest document's."""
        starts = np.flatnonzero(changes(rows[:, UNIT]))[: len(rows)]
        if not self.more["times"] or not len(rows):
            return rows, starts, np.full(len(starts), REST)
        each = periods_of(rows)
        period = each[starts]
        several = np.minimum.reduceat(each, starts) != np.maximum.reduceat(each, starts)
        self._append(self._spanning, rows[starts, UNIT][several], period[several] + 1)
        if self.dropping:
            rows = rows[each == np.repeat(period, np.diff(np.append(starts, len(rows))))]
            starts = np.flatnonzero(changes(rows[:, UNIT]))
        return rows, starts, period

    def _numbers(self, units: np.ndarray, sizes: np.ndarray, rest: np.ndarray, to: np.ndarray) -> None:
        """Numbers of documents are filled up in the order of the hash; which of several, says another hash."""
        asked = [count for _, count in self.more["counts"]]
        pick = np.searchsorted(np.cumsum(asked) / sum(asked), share_draws(units, self.pick_seed), side="right")
        for unit in np.flatnonzero(rest & (sizes <= max(self.left))).tolist():
            wanted = [int(pick[unit]), *range(len(asked))]
            side = next((side for side in wanted if self.left[side] >= sizes[unit]), None)
            if side is not None:
                self.left[side] -= int(sizes[unit])
                to[unit] = self.more["counts"][side][0]
            if not any(self.left):
                return

    def _shares(
        self, part: int, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray, free: np.ndarray, to: np.ndarray
    ) -> None:
        """Units that are too large for the side their hash names go to the main one; strata are counted."""
        if not (self.more["by"] or self.more["stratify"]) or not free.any():
            return
        publish = self.publish
        named = by_share(publish, share_draws(rows[starts, UNIT], 2 * publish["seed"]))
        left = max(self.rest - sum(count for _, count in self.more["counts"]), 0)
        large = free & (sizes > 1) & (sizes > np.array(publish["shares"])[named] * left) & (named != publish["main"])
        named[large] = publish["main"]
        if self.more["stratify"]:
            large = self.strata.take(part, rows, starts, sizes, free, named, large)
        to[large] = named[large]

    def _append(self, files: list[Any], units: np.ndarray, values: np.ndarray) -> None:
        for (output, file), column in zip(files, (mixed(units, self.order_seed), values)):
            np.asarray(column).astype("<u8").tofile(file)
            output.rows += len(column)

    def told(self) -> dict[str, Any]:
        """What the driver, the manifest and assign need to know."""
        largest = []
        with opened(self.job.output) as files:
            known = {manifest["index"]: manifest for manifest in compared(self.job)}
            for (size, doc, *_), groups in zip(self.largest.units, self.largest.groups()):
                ids = files.table(known[doc >> DOC_BITS], "features")["id"]
                one = ids[doc & ((1 << DOC_BITS) - 1)].as_py()
                largest.append({"documents": size, "groups": groups, "one": one})
        return {
            "documents": self.present.pop("", 0), "present": self.present | self.strata.present(), "largest": largest,
            "missing": self.left, "bounds": self.strata.bounds(),
        }  # fmt: skip


# -- after the stage -------------------------------------------------------------------------------


def check_columns(job: Job, this_round: int) -> None:
    """Errors: RunError if no document has a value in a column that the split goes by."""
    counts = manifests(job.output, f"sides-{this_round}")[0]["counts"]
    for name, documents in counts.get("present", {}).items():
        if counts["documents"] and not documents:
            raise RunError(
                f"output.split goes by '{name}', and none of {counts['documents']:,} documents has it. Nothing is published yet. "
                f"'{name}' is {_meaning(name)}; look at the metadata of a document of the input, and start over with --fresh."
            )


def _meaning(name: str) -> str:
    if name.startswith("metadata."):
        return f"the field '{name.removeprefix('metadata.')}' of a record, if input: names it for no column of its own"
    if name in ("domain", "host", "url"):
        return "found in the field that input: {url: ...} names"
    return "a column of documents (docs/recipes.md, input)"
