"""Stages fit and fitted: bounds of rules by quantile or z-score, from a sample of the corpus, before refine.

    fit       a task for each input shard (or bundle of small ones): a share of its documents, chosen by the hash of source and id, is
              taken through the steps; where a fitted rule stands its signal is measured
    fitted    one task: all values together, sorted; the bounds of each group

    .work/fit/000003.values.arrow     one row a sampled document and rule: step, group, value

The rule is fitted to the documents that pass the steps before it, other rules to fit aside (their bounds are not known yet). The
sample is the same whatever the batches, the files' order and the number of tasks. Bounds end up in manifest.json:

    {"thresholds": {"04.keep.mean_word_length": {"signal": "mean_word_length", "by": "lang", "quantile": [0.01, 0.99], "share": 0.25,
                    "groups": {"en": {"documents": 9120, "min": 3.4, "max": 7.9}}}}}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

import filters
from dedup.exact import record_keys
from filters.fitted import fit as fit_bounds
from filters.fitted import groups_of
from filters.rules import measure
from filters.step import all_kept
from filters.texts import texts_of
from pipeline.errors import GristmillError, InputError, RunError
from pipeline.files import storage
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import manifests, opened, output_rows
from pipeline.files.tables import SteadyWriter
from pipeline.job import Job
from pipeline.recipes.recipe import Model
from pipeline.refining.isolation import watched

SAMPLE_BYTES = 256 * 10**6
"""Input, as stored, that a sample stands for unless the recipe says otherwise: some 10**5 web pages, 1,000 of them beyond each 1 % quantile."""

VALUES = pa.schema([("step", pa.string()), ("group", pa.string()), ("value", pa.float64())])
RULES = ("quantile", "zscore", "thresholds")


class Fitted(Model):
    """`keep: {SIGNAL: {quantile: [0.01, 0.99], by: lang}}`."""

    quantile: tuple[float, float] | None = None
    zscore: float | None = Field(default=None, gt=0)
    by: Literal["lang", "source"] | None = None
    sample: float | None = Field(default=None, gt=0, le=1)
    min_documents: int = Field(default=100, ge=2)
    thresholds: str | None = None

    @field_validator("quantile")
    @classmethod
    def _shares(cls, quantile: tuple[float, float] | None) -> tuple[float, float] | None:
        if quantile is not None and not 0 <= quantile[0] < quantile[1] <= 1:
            raise ValueError("expected two shares between 0 and 1, the smaller first, such as [0.01, 0.99]")
        if quantile == (0, 1):
            raise ValueError("nothing lies outside [0, 1]; expected shares such as [0.01, 0.99]")
        return quantile

    @model_validator(mode="after")
    def _one(self) -> Fitted:
        if self.quantile and self.zscore:
            raise ValueError("expected quantile or zscore, not both")
        if self.thresholds and self.sample:
            raise ValueError("with thresholds nothing is sampled; leave out sample")
        return self


def resolved(signal: str, given: Fitted) -> dict[str, Any]:
    """The step's options as plain data; those that are reused have their `groups` already. Errors: InputError."""
    options = {"signal": signal, **given.model_dump(mode="json"), "groups": None}
    if given.thresholds is None:
        return options
    found = _reused(signal, given)
    return {**options, **{key: found[key] for key in ("by", "quantile", "zscore", "groups")}}


def _reused(signal: str, given: Fitted) -> dict[str, Any]:
    """What an earlier run fitted for the signal, of its folder or manifest."""
    path = str(given.thresholds)
    file = path if path.endswith(".json") else storage.join(path, "manifest.json")
    if not storage.exists(file):
        raise InputError(f"thresholds: there is no {file}; expected the folder of a finished run, or its manifest.json")
    try:
        told = json.loads(storage.read_bytes(file)).get("thresholds", {})
        known = sorted({found["signal"] for found in told.values()})
        fits = [found for found in told.values() if found["signal"] == signal and _agrees(found, given)]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise InputError(f"thresholds: {file} is no manifest of a run that fitted rules") from None
    if not fits:
        raise InputError(
            f"thresholds: {file} has no bounds of {signal} as asked for here (by, quantile, zscore); it has {', '.join(known) or 'none'}"
        )
    if any(found["groups"] != fits[0]["groups"] for found in fits):
        raise InputError(
            f"thresholds: {file} has several bounds of {signal}; say by which quantile or zscore, and by what"
        )
    return fits[0]


def _agrees(found: dict[str, Any], given: Fitted) -> bool:
    asked = given.model_dump(mode="json")
    return all(asked[key] is None or asked[key] == found[key] for key in ("by", "quantile", "zscore"))


def to_fit(job: Job) -> list[dict[str, Any]]:
    """The steps of a job whose bounds are not known yet."""
    return [step for step in job.refine["steps"] if step["kind"] == "fitted" and step["options"]["groups"] is None]


def share(job: Job, step: dict[str, Any]) -> float:
    """The share of documents that a step's sample has."""
    if step["options"]["sample"] is not None:
        return float(step["options"]["sample"])
    size = sum(shard["size"] for shard in job.shards)
    return 1.0 if job.limit is not None or size <= SAMPLE_BYTES else SAMPLE_BYTES / size


def bounds(job: Job) -> dict[str, Any]:
    """Step -> what was fitted for it, from the stage's file or, of a recipe that reuses bounds, the recipe."""
    found = manifests(job.output, "fitted")[0]["counts"]["thresholds"] if to_fit(job) else {}
    for step in job.refine["steps"]:
        if step["kind"] == "fitted" and step["name"] not in found:
            options = step["options"]
            told = {key: options[key] for key in ("signal", "by", "quantile", "zscore", "thresholds", "groups")}
            found = {**found, step["name"]: told}
    return found


# -- the stages ------------------------------------------------------------------------------------


def fit(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Measures the sample of one task's shards. A shard that breaks gives what was read of it; refine tells of it.

    Returns its counts: {"values": rows, "failed": {step: {"error.ValueError": sampled documents that a rule could not measure}}}.
    """
    failed: dict[str, dict[str, int]] = {step["name"]: {} for step in to_fit(job)}
    found: list[tuple[str, pa.Array, np.ndarray]] = []
    steps = _probes(job, lambda name, groups, values: found.append((name, groups, values)))
    for shard in task["shards"]:
        if shard["path"] in task.get("give_up", {}):
            continue
        if "mark" in task:
            storage.write_bytes(task["mark"], shard["path"].encode())
        _fit_shard(job, shard, steps, failed)
    output = attempt.create("values", f".work/fit/{task['index']:06d}.values.arrow")
    writer = SteadyWriter(output.temp, VALUES, "arrow", None, lasting=False)
    writer.write(_sorted(found))
    writer.close()
    output.rows = writer.rows
    return {"values": writer.rows, "failed": {name: told for name, told in failed.items() if told}}


def _fit_shard(job: Job, shard: dict[str, Any], steps: list[Any], failed: dict[str, dict[str, int]]) -> None:
    from pipeline.refining.row_steps import apply

    for table in _readable(job, shard):
        with watched(job):
            for name, outcome in apply(steps, table):
                if name in failed:  # a probe sends nobody away: it raised, as the rule will
                    _add(failed[name], Counter(outcome[1].field("reason").to_pylist()))


def _readable(job: Job, shard: dict[str, Any]) -> Iterator[pa.Table]:
    """The sample of a shard, up to where reading breaks. What the steps then raise does not pass through here."""
    from pipeline.refining import values
    from pipeline.refining.refine import batches

    shares = [share(job, step) for step in to_fit(job)]
    policy = job.refine["inputs"][shard["input"]]["values"]
    try:
        for table, _, _ in batches(job, shard):
            yield values.apply(policy, _sample(table, shares))[0]
    except InputError:
        return  # it cannot be read: refine meets the same, and quarantines the shard with the letter
    except (GristmillError, OSError, MemoryError, AssertionError):
        raise
    except Exception:
        return  # the reader broke in a way that nobody foresaw: refine meets the same bytes, and quarantines the shard


PLACE = "_place"
"""Column: where a document stands between 0 and 1, by the hash of its source and id as they were read."""


def _sample(table: pa.Table, shares: list[float]) -> pa.Table:
    """The documents of the largest sample, with their places where any rule has but a share of them."""
    if min(shares) >= 1:
        return table
    places = record_keys(table["source"], table["id"])[:, 0] / 2.0**64
    table = table.append_column(PLACE, pa.array(places))
    return table if max(shares) >= 1 else table.filter(pa.array(places < max(shares)))


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, n in more.items():
        total[name] = total.get(name, 0) + n


def _probes(job: Job, tell: Callable[[str, pa.Array, np.ndarray], None]) -> list[Any]:
    """The steps of refine up to the last rule to fit, with a probe in the place of each fitted one."""
    from pipeline.refining.row_steps import Named, build_steps

    asked = {step["name"]: step for step in to_fit(job)}
    steps = build_steps(job, {})
    last = max(at for at, named in enumerate(steps) if named.name in asked)
    found = []
    for named in steps[: last + 1]:
        if named.name in asked:
            named = Named(named.name, _probe(asked[named.name], share(job, asked[named.name]), tell), False)
        found.append(named)
    return found


def _probe(
    step: dict[str, Any], part: float, tell: Callable[[str, pa.Array, np.ndarray], None]
) -> Callable[[pa.Table], tuple[pa.Table, pa.StructArray]]:
    from pipeline.recipes.build import mask

    def probe(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        chosen = mask(table, step["where"])
        if part < 1:
            chosen &= table[PLACE].to_numpy() < part
        some = table.filter(pa.array(chosen))
        if len(some):
            signal = filters.SIGNALS[step["options"]["signal"]]
            measured = measure(signal, texts_of(some))
            tell(step["name"], groups_of(some, step["options"]["by"]), measured)
        return table, all_kept(len(table))

    return probe


def _sorted(found: list[tuple[str, pa.Array, np.ndarray]]) -> pa.Table:
    """The values of a task in one order, whatever the batches were."""
    parts = [
        pa.table([pa.array([name] * len(values), pa.string()), groups, pa.array(values)], schema=VALUES)
        for name, groups, values in found
    ]
    table = pa.concat_tables([VALUES.empty_table(), *parts])
    return table.filter(pc.is_finite(table["value"])).sort_by([(name, "ascending") for name in VALUES.names])


def fitted(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """The bounds of all rules."""
    told: dict[str, Any] = {}
    with opened(job.output) as files:
        found = [manifest for manifest in manifests(job.output, "fit") if output_rows(manifest, "values")]
        table = pa.concat_tables([VALUES.empty_table(), *(files.table(manifest, "values") for manifest in found)])
        for step in to_fit(job):
            here = table.select(["group", "value"]).filter(pc.equal(table["step"], step["name"]))
            failed = _failed(job, step["name"])
            if failed and not len(here):
                raise RunError(_nothing_measured(step, failed))
            told[step["name"]] = {**_bounds_of(step["options"], here), "share": share(job, step)}
            told[step["name"]] |= {"failed": failed} if failed else {}
    return {"thresholds": told}


def _failed(job: Job, name: str) -> dict[str, int]:
    """Sampled documents that the rule could not measure, by reason."""
    total: dict[str, int] = {}
    for manifest in manifests(job.output, "fit"):
        _add(total, manifest["counts"]["failed"].get(name, {}))
    return dict(sorted(total.items()))


def _nothing_measured(step: dict[str, Any], failed: dict[str, int]) -> str:
    told = ", ".join(f"{reason} {n:,} times" for reason, n in failed.items())
    return (
        f"{step['name']}: no bounds can be fitted, for the signal {step['options']['signal']} failed on every document of the sample ({told}). "
        f"With 'keep: {{{step['options']['signal']}: {{min: 0}}}}' in its place, gristmill preview shows some of them."
    )


def _grouped(table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """(group, its values) in the order of the names."""
    coded = pc.dictionary_encode(table["group"].combine_chunks())
    codes, values = coded.indices.to_numpy(), table["value"].to_numpy()
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
    for name, code in sorted((name, code) for code, name in enumerate(coded.dictionary.to_pylist())):
        yield name, values[order[edges[code] : edges[code + 1]]]


def _bounds_of(options: dict[str, Any], table: pa.Table) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, values in _grouped(table):
        low, high = (
            fit_bounds(values, options["quantile"], options["zscore"])
            if len(values) >= options["min_documents"]
            else (None, None)
        )
        groups[name] = {"documents": len(values), "min": low, "max": high}
    return {**{key: options[key] for key in ("signal", "by", "quantile", "zscore")}, "groups": groups}


def bounds_words(manifest: dict[str, Any]) -> list[str]:
    """The bounds of each rule, for the terminal; of many groups the largest."""
    lines = []
    for step, found in manifest.get("thresholds", {}).items():
        groups = sorted(found["groups"].items(), key=lambda item: -item[1]["documents"])
        told = [
            f"{name + ' ' if name else ''}{_side(of['min'])} to {_side(of['max'])}"
            for name, of in groups[:5]
            if (of["min"], of["max"]) != (None, None)
        ]
        few = sum((of["min"], of["max"]) == (None, None) for _, of in groups)
        lines.append(
            f"{step} {'reused' if 'share' not in found else 'fitted'}: {'; '.join(told) or 'nothing'}"
            + (f"; and {len(groups) - few - len(told)} groups more" if len(groups) - few > len(told) else "")
            + (f"; {few} of too few documents are not judged" if few else "")
            + "".join(f"; {n:,} documents could not be measured ({why})" for why, n in found.get("failed", {}).items())
        )
    return lines


def _side(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:.5g}"
