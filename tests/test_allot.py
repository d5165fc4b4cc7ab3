"""The arithmetic of mixtures: what each bucket gets, and where its extra documents end."""

from __future__ import annotations

import time
from contextlib import nullcontext
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mixtures import allot, mixing
from pipeline.mixtures.mix import ONCE


def spec(how, values=None, **more):
    return {**ONCE, "by": ["lang"], "how": how, "values": values or {}, **more}


def test_a_bucket_that_has_its_most_epochs_leaves_the_rest_to_the_others():
    held = {"en": (10, 1000), "fi": (10, 10), "de": (10, 500)}
    found = allot.targets(
        spec("weights", {"en": 1.0, "fi": 1.0, "de": 2.0}, rest=0.0, total=1200, max_epochs=4.0), held
    )
    assert found == {"en": round(1160 / 3), "fi": 40, "de": round(2 * 1160 / 3)}
    full = allot.targets(spec("weights", {"en": 1.0, "fi": 1.0}, rest=0.0, total=10**6, max_epochs=4.0), held)
    assert full == {"en": 4000, "fi": 40, "de": 0}


def test_temperature_one_is_as_it_is_and_a_high_one_is_even():
    held = {"en": (9, 9000), "fi": (1, 100)}
    assert allot.targets(spec("temperature", temperature=1.0), held) == {"en": 9000, "fi": 100}
    even = allot.targets(spec("temperature", temperature=1e9, total=200), held)
    assert even == {"en": 100, "fi": 100}
    assert allot.targets(spec("temperature", temperature=2.0), {"en": (0, 0)}) == {"en": 0}


def test_totals_of_many_buckets_take_no_time_by_their_square(monkeypatch):
    """600 buckets of 600 ranges each: one pass over their rows, not one for each bucket."""
    names = [f"b{i:03d}" for i in range(600)]
    columns = [np.repeat(names, 600), np.tile(np.arange(600), 600), np.ones(360_000, int), np.arange(360_000)]
    table = pa.table([pa.array(column.tolist()) for column in columns], names=mixing.WEIGHTS.names).cast(mixing.WEIGHTS)
    monkeypatch.setattr(mixing, "manifests", lambda root, stage: [{}, {}])
    monkeypatch.setattr(mixing, "opened", lambda root: nullcontext(SimpleNamespace(table=lambda manifest, name: table)))
    job = SimpleNamespace(output="", refine={"labels": None}, publish={"mix": spec("natural"), "augment": None})
    started = time.process_time()
    found = mixing._aim(job, {"round": 0, "mix": 0}, None)["buckets"]
    assert time.process_time() - started < 1
    assert found["b001"]["documents"] == 1200 and found["b001"]["amount"] == 2 * sum(range(600, 1200))


@given(st.lists(st.tuples(st.integers(0, 2**64 - 2), st.integers(0, 500)), max_size=60), st.integers(0, 30_000))
def test_cut_is_within_half_a_document(documents, target):
    """Against a plain sum over the documents in the order of their draws."""
    draws = np.array([draw for draw, _ in documents], np.uint64)
    amounts = np.array([amount for _, amount in documents], np.int64)
    by_bin = np.zeros(allot.BINS, np.int64)
    np.add.at(by_bin, allot.bins(draws), amounts)
    cut = allot.place_cut(target, by_bin)
    here = allot.bins(draws) == cut["bin"]
    end = allot.threshold(cut, draws[here], amounts[here])
    written = int((amounts * (cut["whole"] + (draws < np.uint64(end)))).sum())
    held = int(amounts.sum())
    if held and len(set(draws.tolist())) == len(draws):
        assert abs(written - target) <= Fraction(int(amounts.max()), 2)
    assert held or written == 0
