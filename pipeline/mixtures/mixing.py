"""Stage mix: how many times each document is written, from exact totals; after the last round of assign.

A mixture takes five rounds, a second one (augmentation) five more. Rounds 0, 2 and 4 have a task for each group of document
files, 1 and 3 one task:

    0  weigh    what each bucket holds of the mixture's split, by ranges of draws
    1  aim      the amount to be written of each bucket, and the range of draws in which its extra documents end
    2  draw     the documents of those ranges
    3  cut      the draw at which each bucket's extra documents end
    4  count    times a document is written, and with it rows and bytes of each split in each task

A draw is a hash of source, id and text, so neither tasks nor workers decide who is written once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from dedup.candidates import changes
from filters.step import set_column
from pipeline.errors import RunError
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import Files, manifests, opened
from pipeline.job import Job
from pipeline.matching.groups import groups, mixed
from pipeline.matching.near import write_table
from pipeline.matching.older import STAGE, compared
from pipeline.mixtures.allot import BINS, REST, bins, place_cut, targets, threshold
from pipeline.mixtures.augment import STEP as AUGMENT
from pipeline.mixtures.conflicts import without_conflicts
from pipeline.mixtures.mix import CLUSTER, ONCE, STEP, numeric

ROUNDS = 5
MOST_BUCKETS = 1000
"""Of a mixture by temperature; the others have as many as the recipe names. A bucket takes 100 KB of a task's memory."""

WEIGHTS = pa.schema([("bucket", pa.string()), ("bin", pa.int32()), ("documents", pa.int64()), ("amount", pa.int64())])
DRAWS = pa.schema([("bucket", pa.string()), ("draw", pa.uint64()), ("amount", pa.int64())])
TIMES = pa.schema([("times", pa.uint16()), ("left_out_of", pa.string())])


def specs(job: Job) -> list[dict[str, Any]]:
    """The mixtures of a job, in the order in which they are worked out. Documents dropped for their labels are counted out here."""
    drops = (job.refine["labels"] or {}).get("conflicts") == "drop"
    first = job.publish["mix"] or ({**ONCE, "split": 0} if drops else None)
    return [spec for spec in (first, job.publish["augment"]) if spec]


def _number_of(job: Job, step: str) -> int | None:
    """Which of the mixtures says how often a document is written (STEP), or augmented."""
    return next((number for number, spec in enumerate(specs(job)) if spec["step"] == step), None)


def rounds(job: Job, assigned: int) -> list[str]:
    """Names of the stage's rounds. `assigned`: the last round of assign."""
    return [f"mix-{assigned}-{number}" for number in range(ROUNDS * len(specs(job)))]


def tasks(job: Job, stage: str) -> list[dict[str, Any]]:
    """Bodies of the tasks of one round."""
    _, assigned, number = stage.split("-")
    body = {"round": int(assigned), "mix": int(number) // ROUNDS, "act": int(number) % ROUNDS}
    return [body] if body["act"] in (1, 3) else [body for _ in groups(compared(job))]


def mix(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """One task of one round."""
    return (_weigh, _aim, _draw, _cut, _count)[task["act"]](job, task, attempt)


def _stage(task: dict[str, Any], act: int) -> str:
    return f"mix-{task['round']}-{task['mix'] * ROUNDS + act}"


# -- what a document is to a mixture ---------------------------------------------------------------


def _members(job: Job, files: Files, task: dict[str, Any]) -> Iterator[tuple[int, pa.Table, pa.Table]]:
    """(place in the group, features, verdicts) of each task of a group."""
    verdicts = files.arrow(manifests(job.output, f"assign-{task['round']}")[task["index"]], "verdicts")
    for place, manifest in enumerate(groups(compared(job))[task["index"]]):
        if manifest["stage"] != STAGE:
            table = pa.Table.from_batches([verdicts.get_batch(place)])
            split = table["split"].to_numpy()
            split = without_conflicts(job, files, task["round"], manifest["index"], split)
            table = set_column(table, "split", pa.array(split))
            yield place, files.table(manifest, "features"), table


def _mixed_rows(
    job: Job, files: Files, task: dict[str, Any]
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]]:
    """For each task of a group (buckets, bucket of each row or -1 if it is not mixed, draw, amount)."""
    spec = specs(job)[task["mix"]]
    for place, features, verdicts in _members(job, files, task):
        names, codes = buckets(spec, features, verdicts)
        inside = verdicts["split"].to_numpy() == spec["split"]
        if task["mix"]:
            inside &= _written(job, files, task, place, verdicts) > 0
        yield names, np.where(inside, codes, -1), draws(spec, features), amounts(spec, features)


def buckets(spec: dict[str, Any], features: pa.Table, verdicts: pa.Table) -> tuple[list[str], np.ndarray]:
    """The buckets there are, and the number of each document's (int64)."""
    if not spec["by"]:
        return [REST], np.zeros(len(features), np.int64)
    if numeric(spec["by"]):
        return _ranges(spec, _numbers(spec["by"][0], features, verdicts))
    columns = [features["source" if name == "source" else f"carried.{name}"] for name in spec["by"]]
    joined = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(
        *(pc.fill_null(column, "none") for column in columns), "/"
    )  # fmt: skip
    encoded = joined.combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    open_ended = spec["how"] in ("temperature", "balance")
    if open_ended:
        _check_rest(words, spec)
    names = [*dict.fromkeys(word if open_ended or word in spec["values"] else REST for word in words), REST]
    names = list(dict.fromkeys(names))
    number = {name: at for at, name in enumerate(names)}
    codes = np.array([number.get(word, number[REST]) for word in words] or [0], np.int64)
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return names, np.where(indices < 0, number[REST], codes[indices])


def _numbers(name: str, features: pa.Table, verdicts: pa.Table) -> np.ndarray:
    column = verdicts["cluster_size"] if name == CLUSTER else features[name]
    return pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy()


def _ranges(spec: dict[str, Any], values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """A range is named by its lower edge; what lies below all edges, or is no number, is the rest."""
    names = [REST, *spec["values"]]
    codes = np.searchsorted(np.array([float(edge) for edge in spec["values"]]), values, side="right")
    return names, np.where(np.isnan(values), 0, codes).astype(np.int64)


def draws(spec: dict[str, Any], features: pa.Table) -> np.ndarray:
    """uint64 of each document, below 2**64 - 1: neither that of its side nor that of its place."""
    key0, key1, text0 = (features[name].to_numpy() for name in ("key0", "key1", "text0"))
    first = mixed(key1 ^ (key0 << np.uint64(1)), 0x6D697800 + spec["seed"])
    found = mixed(first ^ text0, 0x6D697801 if spec["step"] == STEP else 0x617567)
    return np.minimum(found, np.uint64(2**64 - 2))  # so that an end can lie above each


def amounts(spec: dict[str, Any], features: pa.Table) -> np.ndarray:
    """int64 of each document, in the mixture's unit."""
    if spec["unit"] == "documents":
        return np.ones(len(features), np.int64)
    return features[spec["unit"]].to_numpy()


# -- the rounds ------------------------------------------------------------------------------------


def _weigh(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    found: dict[str, np.ndarray] = {}
    with opened(job.output) as files:
        for names, codes, draw, amount in _mixed_rows(job, files, task):
            for code in np.unique(codes[codes >= 0]).tolist():
                mine = codes == code
                at = found.setdefault(names[code], np.zeros((2, BINS), np.int64))
                place = bins(draw[mine])
                at[0] += np.bincount(place, minlength=BINS)
                at[1] += _summed(place, amount[mine])
            _check_number(found, specs(job)[task["mix"]])
    rows = [(name, at, np.flatnonzero(at[0])) for name, at in sorted(found.items())]
    bucket = np.array([name for name, _, where in rows for _ in where], dtype=object)
    empty = np.empty(0, np.int64)
    columns = [np.concatenate([empty, *(each(at, where) for _, at, where in rows)]) for each in _COLUMNS]
    write_table(
        attempt, "weights", f".work/mix/{_stage(task, 0)}-{task['index']:06d}.arrow", WEIGHTS, [bucket, *columns]
    )
    return {"rows": len(bucket)}


_COLUMNS = (lambda at, where: where, lambda at, where: at[0][where], lambda at, where: at[1][where])


def _summed(place: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """int64 (BINS,): exact sums; floats would do up to 2^53 only."""
    total = np.zeros(BINS, np.int64)
    np.add.at(total, place, amount)
    return total


def _check_number(found: dict[str, np.ndarray], spec: dict[str, Any]) -> None:
    if len(found) > MOST_BUCKETS:
        named = "copies: {LABEL: N}" if spec["step"] == AUGMENT else "epochs, weights or budget"
        raise RunError(
            f"{spec['step']}: {'/'.join(spec['by'])} has more than {MOST_BUCKETS:,} different values ({', '.join(sorted(found)[:5])}, ...); "
            f"a mixture is made of some dozens. Name those that count ({named}); all others are the bucket '{REST}'."
        )


def _check_rest(words: list[str], spec: dict[str, Any]) -> None:
    if REST in words:
        raise RunError(
            f"{spec['step']}: {'/'.join(spec['by'])} has the value '{REST}', which is what the bucket of documents without a value is "
            "called: the two would be one. Give it another name in the input."
        )


def _aim(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: `buckets`, each with what it holds, what is planned and where its extra documents end."""
    spec = specs(job)[task["mix"]]
    total: dict[str, np.ndarray] = {}
    for manifest in manifests(job.output, _stage(task, 0)):
        with opened(job.output) as files:
            table = files.table(manifest, "weights")
            place, documents, amount = (table[name].to_numpy() for name in ("bin", "documents", "amount"))
            for name, mine in _runs(table["bucket"]):  # they are written in order
                at = total.setdefault(name, np.zeros((2, BINS), np.int64))
                at[0][place[mine]] += documents[mine]
                at[1][place[mine]] += amount[mine]
        _check_number(total, spec)
    held = {name: (int(at[0].sum()), int(at[1].sum())) for name, at in total.items()}
    none = np.zeros((2, BINS), np.int64)
    found = {}
    for name, target in targets(spec, held).items():
        documents_, amount_ = held.get(name, (0, 0))
        about = {"documents": documents_, "amount": amount_, "target": target}
        found[name] = about | place_cut(target, total.get(name, none)[1])
    return {"buckets": dict(sorted(found.items()))}


def _runs(buckets: pa.ChunkedArray) -> Iterator[tuple[str, slice]]:
    """Runs of equal values."""
    encoded = buckets.combine_chunks().dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    starts = np.flatnonzero(changes(codes)).tolist()
    for start, end in zip(starts, [*starts[1:], len(codes)]):
        yield names[codes[start]], slice(start, end)


def _draw(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    cuts = manifests(job.output, _stage(task, 1))[0]["counts"]["buckets"]
    pieces: list[list[Any]] = [[np.empty(0, dtype=object)], [np.empty(0, np.uint64)], [np.empty(0, np.int64)]]
    with opened(job.output) as files:
        for names, codes, draw, amount in _mixed_rows(job, files, task):
            wanted = np.array([cuts.get(name, {"bin": -1})["bin"] for name in names], np.int64)
            rows = np.flatnonzero((codes >= 0) & (wanted[codes] == bins(draw)))
            for piece, column in zip(pieces, (np.array(names, dtype=object)[codes], draw, amount)):
                piece.append(column[rows])
    columns = [np.concatenate(piece) for piece in pieces]
    write_table(attempt, "draws", f".work/mix/{_stage(task, 2)}-{task['index']:06d}.arrow", DRAWS, columns)
    return {"rows": len(columns[0])}


def _cut(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: `buckets` as of the round before, with `threshold`."""
    cuts = manifests(job.output, _stage(task, 1))[0]["counts"]["buckets"]
    with opened(job.output) as files:
        tables = [files.table(manifest, "draws") for manifest in manifests(job.output, _stage(task, 2))]
        table = pa.concat_tables([DRAWS.empty_table(), *tables]).sort_by("bucket")
        draw, amount = table["draw"].to_numpy(), table["amount"].to_numpy()
        rows = dict(_runs(table["bucket"]))
    none = slice(0, 0)
    ends = {name: threshold(cut, *(c[rows.get(name, none)] for c in (draw, amount))) for name, cut in cuts.items()}
    return {"buckets": {name: {**cut, "threshold": ends[name]} for name, cut in cuts.items()}}


def _count(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: `tasks` as of assign, with all rows so far; `buckets`: [documents, rows, amount of the rows, left out]."""
    spec = specs(job)[task["mix"]]
    found = manifests(job.output, _stage(task, 3))[0]["counts"]["buckets"]
    counts: dict[str, Any] = {"tasks": [], "buckets": {}}
    output = attempt.create("times", f".work/mix/{_stage(task, 4)}-{task['index']:06d}.arrow")
    with opened(job.output) as files, pa.ipc.new_file(output.temp, TIMES) as sink:
        for place, features, verdicts in _members(job, files, task):
            names, codes = buckets(spec, features, verdicts)
            split = verdicts["split"].to_numpy()
            before = _written(job, files, task, place, verdicts)
            inside = (split == spec["split"]) & (before > 0)
            times = np.where(inside, _times(spec, found, names, codes, features), 0)
            left = inside & (times == 0) & (spec["step"] == STEP)
            out = np.array([*names, None], dtype=object)[np.where(left, codes, len(names))]
            rows = np.where(inside, times, before) if spec["step"] == STEP else times
            sink.write_batch(pa.record_batch([pa.array(rows, pa.uint16()), pa.array(out, pa.string())], schema=TIMES))
            output.rows += len(rows)
            counts["tasks"].append(_sums(job, split, rows if spec["step"] == STEP else rows + before, features))
            _tell(counts["buckets"], names, np.where(inside, codes, -1), times, amounts(spec, features))
    return counts


def _tell(
    told: dict[str, list[int]], names: list[str], codes: np.ndarray, times: np.ndarray, amount: np.ndarray
) -> None:
    """Adds what is written of each bucket."""
    for code in np.unique(codes[codes >= 0]).tolist():
        mine, size = times[codes == code], amount[codes == code]
        found = [int((mine > 0).sum()), int(mine.sum()), int((mine * size).sum()), int((mine == 0).sum())]
        told[names[code]] = [a + b for a, b in zip(told.get(names[code], [0] * 4), found)]


def _written(job: Job, files: Files, task: dict[str, Any], place: int, verdicts: pa.Table) -> np.ndarray:
    """int64: how many times the mixtures before this one write each document of a task."""
    if not task["mix"]:
        return (verdicts["split"].to_numpy() >= 0).astype(np.int64)
    stage = f"mix-{task['round']}-{task['mix'] * ROUNDS - 1}"
    batch = files.arrow(manifests(job.output, stage)[task["index"]], "times").get_batch(place)
    return batch["times"].to_numpy().astype(np.int64)


def _times(
    spec: dict[str, Any], found: dict[str, Any], names: list[str], codes: np.ndarray, features: pa.Table
) -> np.ndarray:
    """int64: the whole copies of a document's bucket, and one more if its draw is small enough."""
    cuts = [found.get(name, {"whole": 0, "threshold": 0}) for name in names]
    whole = np.array([cut["whole"] for cut in cuts], np.int64)
    ends = np.array([cut["threshold"] for cut in cuts], np.uint64)
    return whole[codes] + (draws(spec, features) < ends[codes])


def _sums(job: Job, split: np.ndarray, times: np.ndarray, features: pa.Table) -> list[list[int]]:
    """[rows, bytes] of each split."""
    inside, many = np.where(split < 0, 0, split), len(job.publish["splits"])
    rows, size = np.zeros(many, np.int64), np.zeros(many, np.int64)
    np.add.at(rows, inside, times)
    np.add.at(size, inside, times * features["bytes"].to_numpy())
    return [rows.tolist(), size.tolist()]


# -- what others read ------------------------------------------------------------------------------


def last_stage(job: Job, assigned: int) -> str:
    """The stage that knows rows and bytes of each split in each task: assign, or the last round of mix."""
    return (rounds(job, assigned) or [f"assign-{assigned}"])[-1]


def times_of(job: Job, files: Files, assigned: int, group: int, place: int) -> dict[str, pa.Array]:
    """Of the documents of one task `times` and `left_out_of` (`TIMES`), and `augmented`; what the job does not ask for is not there."""
    found: dict[str, pa.Array] = {}
    for step in (STEP, AUGMENT):
        number = _number_of(job, step)
        if number is None:
            continue
        manifest = manifests(job.output, f"mix-{assigned}-{(number + 1) * ROUNDS - 1}")[group]
        batch = files.arrow(manifest, "times").get_batch(place)
        found |= (
            {"times": batch["times"], "left_out_of": batch["left_out_of"]}
            if step == STEP
            else {"augmented": batch["times"]}
        )
    return found


def mix_summary(job: Job, assigned: int, step: str = STEP) -> dict[str, Any] | None:
    """For manifest.json: of each bucket what it holds, what was planned and what is written. None without a mixture."""
    spec = job.publish[step]
    if not spec:
        return None
    first = (_number_of(job, step) or 0) * ROUNDS
    planned = manifests(job.output, f"mix-{assigned}-{first + 1}")[0]["counts"]["buckets"]
    written = [m["counts"]["buckets"] for m in manifests(job.output, f"mix-{assigned}-{first + ROUNDS - 1}")]
    found = {}
    for name, plan in planned.items():
        sums = np.array([part[name] for part in written if name in part] or [[0] * 4]).sum(axis=0).tolist()
        found[name] = {
            "documents": plan["documents"], "amount": plan["amount"], "planned": plan["target"], "written": sums[2],
            "epochs": round(sums[2] / plan["amount"], 4) if plan["amount"] else 0.0,
            "rows": sums[1], "left_out": sums[3],
        }  # fmt: skip
    return {"split": job.publish["splits"][spec["split"]], "by": spec["by"], "unit": spec["unit"], "buckets": found}
