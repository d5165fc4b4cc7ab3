"""Rules by quantile and z-score: fitted to a sample, in the manifest, reused; the same whatever the batches and shards."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected, sums
from cutting import cut as mill
from cutting import job_of
from hypothesis import given
from hypothesis import strategies as st

import filters
from filters.fitted import fit, keep_fitted
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook, outlook_text
from pipeline.commands.preview import preview
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError, RunError
from pipeline.progress import Silent, funnel
from pipeline.refining import fit as stage
from pipeline.run import run
from pipeline.tasks import run_task

NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=60)


def plain_quantile(values: list[float], q: float) -> float:
    """Hyndman and Fan's type 7, by the book."""
    values = sorted(values)
    place = q * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


@given(NUMBERS, st.randoms())
def test_fits_are_those_of_the_book_in_any_order(values, random):
    low, high = fit(np.array(values), quantile=(0.1, 0.75))
    assert low == pytest.approx(plain_quantile(values, 0.1), abs=1e-6)
    assert high == pytest.approx(plain_quantile(values, 0.75), abs=1e-6)
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    assert fit(np.array(values), zscore=2) == pytest.approx((mean - 2 * spread, mean + 2 * spread), abs=1e-4)
    mixed = random.sample(values, len(values))
    assert fit(np.array(mixed), quantile=(0.1, 0.75)) == (low, high)
    assert fit(np.array(mixed), zscore=2) == fit(np.array(values), zscore=2)


def test_the_ends_are_open():
    assert fit(np.arange(5.0), quantile=(0, 0.5)) == (None, 2.0)
    assert fit(np.arange(5.0), quantile=(0.5, 1)) == (2.0, None)
    assert fit(np.zeros(0), zscore=3) == (None, None)


@pytest.mark.parametrize("record", [False, True])
def test_groups_have_their_own_bounds_and_unknown_ones_none(record):
    """A value at a bound is kept; a document of a group without bounds is not judged."""
    groups = {"en": {"min": 2, "max": 3}, "de": {"min": None, "max": 1}, "fr": {"min": None, "max": None}}
    rows = [("en", 1), ("en", 2), ("en", 3), ("en", 4), ("de", 1), ("de", 2), ("fr", 9), ("xx", 9), (None, 9)]
    table = pa.table({"text": [" ".join(["word"] * n) for _, n in rows], "lang": [lang for lang, _ in rows]})
    filters.load_builtin()
    table, why = keep_fitted("word_count", "lang", groups, record)(table)
    found = [
        (row, each["reason"], each["value"], each["threshold"], each["detail"])
        for row, each in enumerate(why.to_pylist())
        if each
    ]
    assert found == [
        (0, "word_count.min", 1.0, 2.0, "lang en"),
        (3, "word_count.max", 4.0, 3.0, "lang en"),
        (5, "word_count.max", 2.0, 1.0, "lang de"),
    ]
    assert ("signal.word_count" in table.schema.names) == record


# -- in a run --------------------------------------------------------------------------------------


def corpus(count=240):
    """Documents of 1 to 60 words in "short" and 101 to 160 in "long", each length twice."""
    records = []
    for n in range(count):
        length = n // 4 % 60 + 1 + 100 * (n % 2)
        records.append(
            {
                "id": f"d{n}",
                "text": " ".join(f"w{n}x{i}" for i in range(length)),
                "source": "long" if n % 2 else "short",
            }
        )
    return records


RULE = {"word_count": {"quantile": [0.05, 0.9], "by": "source"}}
STEPS = [{"keep": RULE}]


def lengths(records, source):
    return [len(record["text"].split()) for record in records if record["source"] == source]


def shards(records, count):
    return {f"s{n}": records[n::count] for n in range(count)}


def expected(records):
    """By plain Python: the documents that stay."""
    bounds = {s: [plain_quantile(lengths(records, s), q) for q in (0.05, 0.9)] for s in ("short", "long")}
    return {r["id"] for r in records if bounds[r["source"]][0] <= len(r["text"].split()) <= bounds[r["source"]][1]}


def test_documents_outside_the_quantiles_of_their_source_go(tmp_path):
    records = corpus()
    out = mill(tmp_path, STEPS, shards(records, 3))
    assert {row["id"] for row in kept(out)} == expected(records) != {r["id"] for r in records}
    told = manifest(out)
    found = told["thresholds"]["01.keep.word_count"]
    assert found["groups"]["long"] == {
        "documents": 120,
        "min": pytest.approx(plain_quantile(lengths(records, "long"), 0.05)),
        "max": pytest.approx(plain_quantile(lengths(records, "long"), 0.9)),
    }
    assert (found["share"], found["by"], found["quantile"]) == (1.0, "source", [0.05, 0.9])
    gone = {row["id"]: row for row in rejected(out)}
    assert gone["d1"]["reason"] == "word_count.min" and gone["d1"]["threshold"] == found["groups"]["long"]["min"]
    assert all(finding.ok for finding in check(str(out)))
    assert "01.keep.word_count fitted: long 1" in funnel(told)
    assert "out: word_count.min, value 101" in explain(str(out), "d1")


def test_same_bytes_whatever_batches_and_order(tmp_path):
    records = corpus()
    one = mill(tmp_path, STEPS, shards(records, 3), batch=7, out="one", output=", signals: all")
    two = mill(tmp_path, STEPS, batch=1000, out="two", output=", signals: all")
    assert sums(one) == sums(two)
    (tmp_path / "turned").mkdir()
    turned = dict(zip(("s2", "s1", "s0"), shards(records, 3).values()))
    other = mill(tmp_path / "turned", STEPS, turned, output=", signals: all")
    assert manifest(other)["thresholds"] == manifest(one)["thresholds"]
    corpora = [{path: found for path, found in sums(out).items() if path.startswith("train")} for out in (one, other)]
    assert corpora[0] == corpora[1] and corpora[0]


def test_a_sample_is_by_document_not_by_file(tmp_path):
    """The same documents in other files have the same sample, and so the same bounds."""
    records = corpus(960)
    rule = {"word_count": {"quantile": [0.1, 0.9], "sample": 0.5, "by": "source"}}
    found = []
    for name, count in (("a", 1), ("b", 5)):
        (tmp_path / name).mkdir()
        out = mill(tmp_path / name, [{"keep": rule}], shards(records, count))
        found.append(manifest(out)["thresholds"])
    assert found[0] == found[1]
    sampled = sum(group["documents"] for group in found[0]["01.keep.word_count"]["groups"].values())
    assert 400 < sampled < 560 and found[0]["01.keep.word_count"]["share"] == 0.5


def test_the_share_of_a_large_input_is_less(tmp_path, monkeypatch):
    records = corpus()
    mill(tmp_path, [], shards(records, 1), out="first")
    job, _ = job_of(tmp_path, STEPS)
    monkeypatch.setattr(stage, "SAMPLE_BYTES", job.shards[0]["size"] // 4)
    assert stage.share(job, job.refine["steps"][0]) == pytest.approx(0.25, rel=0.01)


def test_fitted_to_what_passes_the_steps_before(tmp_path):
    records = corpus()
    steps = [{"keep": {"word_count": {"min": 100}}}, {"keep": {"word_count": {"zscore": 1}}}]
    out = mill(tmp_path, steps, shards(records, 2))
    found = manifest(out)["thresholds"]["02.keep.word_count"]["groups"]
    long = lengths(records, "long")
    mean, spread = statistics.fmean(long), statistics.pstdev(long)
    assert found == {"": {"documents": 120, "min": pytest.approx(mean - spread), "max": pytest.approx(mean + spread)}}
    assert {len(row["text"].split()) for row in kept(out)} == {n for n in long if mean - spread <= n <= mean + spread}


def test_two_rules_and_where(tmp_path):
    records = corpus()
    steps = [
        {"keep": {"word_count": {"quantile": [0.25, 1]}}, "where": {"source": "short"}},
        {"keep": {"word_count": {"quantile": [0, 0.5]}}, "where": {"source": "long"}},
    ]
    out = mill(tmp_path, steps, shards(records, 2))
    found = manifest(out)["thresholds"]
    assert found["01.keep.word_count"]["groups"][""]["min"] == pytest.approx(
        plain_quantile(lengths(records, "short"), 0.25)
    )
    assert found["02.keep.word_count"]["groups"][""]["max"] == pytest.approx(
        plain_quantile(lengths(records, "long"), 0.5)
    )
    assert found["02.keep.word_count"]["groups"][""]["min"] is None


def test_rules_with_different_samples(tmp_path):
    """Each has its own: that of half the documents does not hang on whether another rule has all of them."""
    half = {"word_count": {"quantile": [0.1, 0.9], "sample": 0.5}}
    whole = {"mean_word_length": {"quantile": [0, 0.9]}}
    most = {"mean_word_length": {"quantile": [0, 0.9], "sample": 0.9}}
    records = corpus()
    alone = manifest(mill(tmp_path, [{"keep": half}], shards(records, 2), out="alone"))["thresholds"]
    for name, other in (("whole", whole), ("most", most)):
        found = manifest(mill(tmp_path, [{"keep": half}, {"keep": other}], out=name))["thresholds"]
        assert found["01.keep.word_count"] == alone["01.keep.word_count"]
        documents = found["02.keep.mean_word_length"]["groups"][""]["documents"]
        assert documents == 240 if name == "whole" else 190 < documents < 240
    assert 80 < alone["01.keep.word_count"]["groups"][""]["documents"] < 160


USES = """
import numpy as np
from filters import signal

@signal(family="test", source="this test")
def fragile(texts):
    \"\"\"Words; fails on texts of 101 words, wants a gigabyte for those of 102.\"\"\"
    words = np.array([len(text.split()) for text in texts.strings], float)
    if (words == 101).any():
        raise ValueError("no")
    if (words == 102).any():
        bytearray(1 << 30)
    return words
"""


def test_documents_that_a_rule_cannot_measure_are_counted(tmp_path):
    """What asks for too much memory fails here as it does in refine."""
    (tmp_path / "fragile.py").write_text(USES)
    rule = [{"keep": {"fragile": {"quantile": [0, 0.9]}}}]
    memory = ", document_memory: 64MB"
    out = mill(tmp_path, rule, shards(corpus(), 2), batch=50, run=memory, uses=tmp_path / "fragile.py")
    found = manifest(out)["thresholds"]["01.keep.fragile"]
    assert found["failed"] == {"error.MemoryError": 2, "error.ValueError": 2}
    assert found["groups"][""]["documents"] == 236
    assert {row["reason"] for row in rejected(out)} == {"fragile.max", "error.MemoryError", "error.ValueError"}
    assert "2 documents could not be measured (error.ValueError)" in funnel(manifest(out))


def test_a_rule_that_can_measure_nothing_ends_the_run(tmp_path):
    (tmp_path / "fragile.py").write_text(USES.replace("== 101", "> 0"))
    rule = [{"keep": {"fragile": {"quantile": [0, 0.9]}}}]
    with pytest.raises(RunError, match=r"fragile failed on every document of the sample \(error.ValueError 240 times"):
        mill(tmp_path, rule, shards(corpus(), 1), run=", attempts: 1", uses=tmp_path / "fragile.py")


def test_fit_leaves_a_mark_where_it_dies(tmp_path, monkeypatch):
    """Or a run in one process would die of the same document for ever. Its shard leaves the sample after `attempts` deaths."""
    mill(tmp_path, [], shards(corpus(), 2), out="first")
    job, settings = job_of(tmp_path, STEPS)
    notes = []
    told = Silent()
    told.note = notes.append

    def dies(spec):
        if spec["stage"] == "fit" and not spec.get("give_up"):
            (tmp_path / "out" / ".work" / "attempts" / f"{spec['task']}.shard").write_text(spec["shards"][1]["path"])
            raise SystemExit  # what ends a process leaves the mark; here it is put back by hand
        return run_task(spec)

    monkeypatch.setattr("pipeline.engines.local.run_task", dies)
    monkeypatch.setattr("pipeline.engines.local.storage.delete", lambda path: None)
    for _ in range(settings.attempts):
        with pytest.raises(SystemExit):
            run(job, settings, LocalEngine(), told)
    run(job, settings, LocalEngine(), told)
    assert [note.partition(":")[0] for note in notes] == [
        f"{tmp_path / 's1.jsonl'} is left out of the sample that bounds are fitted to"
    ]
    assert manifest(tmp_path / "out")["thresholds"]["01.keep.word_count"]["groups"]["short"]["documents"] == 120
    assert "long" not in manifest(tmp_path / "out")["thresholds"]["01.keep.word_count"]["groups"]


def test_a_rule_that_reuses_bounds_judges_before_another_is_fitted(tmp_path):
    records = corpus()
    first = mill(tmp_path, STEPS, shards(records, 2), out="first")
    again = [{"keep": {"word_count": {"thresholds": str(first)}}}, {"keep": {"mean_word_length": {"zscore": 3}}}]
    found = manifest(mill(tmp_path, again, out="again"))["thresholds"]["02.keep.mean_word_length"]
    assert found["groups"][""]["documents"] == len(expected(records)) < len(records)


def test_small_groups_are_not_judged(tmp_path):
    records = [*corpus(), *({"id": f"t{n}", "text": "x " * 500, "source": "tiny"} for n in range(9))]
    out = mill(tmp_path, STEPS, shards(records, 2))
    assert manifest(out)["thresholds"]["01.keep.word_count"]["groups"]["tiny"] == {
        "documents": 9,
        "min": None,
        "max": None,
    }
    assert sum(row["source"] == "tiny" for row in kept(out)) == 9
    assert "1 of too few documents are not judged" in funnel(manifest(out))


# -- again -----------------------------------------------------------------------------------------


def test_bounds_are_reused(tmp_path):
    records = corpus()
    first = mill(tmp_path, STEPS, shards(records, 2), out="first")
    again = [{"keep": {"word_count": {"thresholds": str(first)}}}]
    (tmp_path / "new").mkdir()
    out = mill(tmp_path / "new", again, {"new": records[:40]})
    assert {row["id"] for row in kept(out)} == expected(records) & {r["id"] for r in records[:40]}
    told = manifest(out)["thresholds"]["01.keep.word_count"]
    assert told["groups"] == manifest(first)["thresholds"]["01.keep.word_count"]["groups"]
    assert told["by"] == "source" and "reused: " in funnel(manifest(out))
    third = [{"keep": {"word_count": {"thresholds": str(out / "manifest.json"), "by": "source"}}}]
    assert job_of(tmp_path / "new", third, out="third")[0].refine["steps"][0]["options"]["groups"] == told["groups"]


@pytest.mark.parametrize(
    "rule, letter",
    [
        ({"mean_word_length": {"thresholds": "OUT"}}, "has no bounds of mean_word_length as asked for here (by, quantile, zscore); it has word_count"),
        ({"word_count": {"thresholds": "OUT", "by": "lang"}}, "has no bounds of word_count as asked for here"),
        ({"word_count": {"thresholds": "OUT", "quantile": [0.01, 0.9]}}, "has no bounds of word_count as asked for here"),
        ({"word_count": {"thresholds": "nowhere"}}, "there is no nowhere/manifest.json; expected the folder of a finished run"),
    ],
)  # fmt: skip
def test_bounds_that_are_not_there(tmp_path, rule, letter):
    out = mill(tmp_path, STEPS, shards(corpus(), 1), out="first")
    text = json.loads(json.dumps(rule).replace("OUT", str(out)))
    with pytest.raises(RecipeError) as error:
        job_of(tmp_path, [{"keep": text}])
    assert letter in str(error.value)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    """After fit, and after fitted: nothing of these is done again, and the bytes are the same."""

    class Stopping(LocalEngine):
        def __init__(self, last):
            super().__init__()
            self.last, self.stages = last, []

        def map(self, specs):
            if specs and specs[0]["stage"] == self.last:
                raise KeyboardInterrupt
            self.stages += [spec["stage"] for spec in specs]
            return super().map(specs)

    records = corpus()
    whole = mill(tmp_path, STEPS, shards(records, 3), out="whole")
    job, settings = job_of(tmp_path, STEPS)
    done = []
    for last in ("fitted", "refine"):
        engine = Stopping(last)
        with pytest.raises(KeyboardInterrupt):
            run(job, settings, engine, Silent())
        done.append(set(engine.stages))
    engine = Stopping("")
    assert run(job, settings, engine, Silent()).resumed
    assert done == [{"fit"}, {"fitted"}] and not {"fit", "fitted"} & set(engine.stages)
    assert sums(whole) == sums(tmp_path / "out")
    assert not (tmp_path / "out" / ".work" / "fit").exists()


def test_a_broken_shard_is_no_end(tmp_path):
    (tmp_path / "broken.jsonl").write_text('{"text": \n{"id": "x", "text": "a b"}\n')
    out = mill(tmp_path, STEPS, shards(corpus(), 2))
    told = manifest(out)["account"]
    assert told["read"] == 242 and told["quarantined"] == 1
    assert told["read"] == told["kept"] + told["rejected"] + told["quarantined"]


def test_plan_and_preview(tmp_path):
    mill(tmp_path, [], shards(corpus(), 2), out="first")
    job, _ = job_of(tmp_path, STEPS)
    text = outlook_text(outlook(job))
    assert "01.keep.word_count  quantile: [0.05, 0.9], by: source" in text and "fitted" in text
    assert "word_count.max" in preview(job, 240)[0]


def test_parts_of_a_split_document_are_in_the_sample_as_it_is(tmp_path):
    records = corpus(960)
    steps = [
        {"length": {"max_chars": 300, "too_long": "split"}},
        {"keep": {"word_count": {"quantile": [0, 0.9], "sample": 0.5}}},
    ]
    found = manifest(mill(tmp_path, steps, shards(records, 2)))
    sampled = found["thresholds"]["02.keep.word_count"]["groups"][""]["documents"]
    assert 0.4 < sampled / found["account"]["read"] < 0.6
