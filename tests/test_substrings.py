"""Runs of tokens that stand elsewhere are cut end to end: planted copies, what stays, what is told, kill and resume."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from corpus import kept, manifest, rejected, sums
from cutting import RECIPE, cut, job_of, removed
from test_cut_kernels import cut_plainly

from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook, outlook_text
from pipeline.commands.preview import preview
from pipeline.plan import stage_tasks

STEPS = [{"dedup": {"substrings": {}}}]


def words(seed, count):
    return [f"w{n}" for n in np.random.default_rng(seed).integers(0, 10**9, count)]


def run_of(seed, count):
    return " ".join(words(seed, count))


def texts(output):
    return {row["id"]: row["text"] for row in kept(output)}


def order(records, tmp_path):
    """Ids in the order in which they are first: the smaller key of source and id."""
    from pyarrow import array

    from dedup.exact import record_keys

    keys = record_keys(array([r.get("source", tmp_path.name) for r in records]), array([r["id"] for r in records]))
    return [records[i]["id"] for i in np.lexsort((keys[:, 1], keys[:, 0]))]


def test_a_paragraph_of_60_tokens_goes_once(tmp_path):
    copied = run_of(1, 60)
    records = [
        {"id": "a", "text": f"{run_of(2, 30)}.\n\n{copied}.\n\n{run_of(3, 30)}"},
        {"id": "b", "text": f"{run_of(4, 80)}. {copied}! {run_of(5, 20)}"},
        {"id": "c", "text": run_of(6, 200)},
    ]
    out = cut(tmp_path, STEPS, {"in0": records[:1], "in1": records[1:]})
    other = [name for name in order(records, tmp_path) if name != "c"][1]
    whole = {record["id"]: record["text"] for record in records}
    without = {"a": f"{run_of(2, 30)}.\n\n{run_of(3, 30)}", "b": f"{run_of(4, 80)}. {run_of(5, 20)}"}
    assert texts(out) == {**whole, other: without[other]}
    (row,) = removed(out, "substrings")
    assert (row["id"], row["tokens"]) == (other, 60)
    assert whole[other][row["start"] : row["end"]].startswith(row["text"][:200]) and len(row["text"]) == 200
    told = manifest(out)["cut"]["01.dedup.substrings"]
    assert (told["documents"], told["substrings"]) == (1, 1)
    assert told["bytes"] == len(whole[other]) - len(without[other]) == row["end"] - row["start"]
    assert all(finding.ok for finding in check(str(out)))


def test_all_copies_go_if_asked(tmp_path):
    copied = run_of(1, 55)
    records = [{"id": f"{i}", "text": f"before{i} {copied} behind{i}"} for i in range(4)]
    out = cut(tmp_path, [{"dedup": {"substrings": {"keep": "none"}}}], {"in": records})
    assert texts(out) == {f"{i}": f"before{i} behind{i}" for i in range(4)}


@pytest.mark.parametrize(("tokens", "is_cut"), [(49, False), (50, True)])
def test_49_tokens_stay(tokens, is_cut, tmp_path):
    records = [{"id": str(i), "text": f"a{i} {run_of(1, tokens)} z{i}"} for i in range(2)]
    found = texts(cut(tmp_path, STEPS, {"in": records}))
    assert (
        sorted(map(len, found.values())) == [5, len(records[0]["text"])]
        if is_cut
        else found == {r["id"]: r["text"] for r in records}
    )


def test_chinese(tmp_path):
    """A token is a Han character: 52 of them, the stop behind them goes too, the bracket before the next sentence stays."""
    copied = (
        "磨坊主慢慢地磨着麦子面粉从石头之间流出来村里的人都来这里他们带来粮食也带来故事每天从早到晚水车转个不停直到冬天"
    )
    assert 50 <= len(copied) <= 60
    own = "甲乙"
    records = [{"id": w, "text": f"{w}。{copied}。「{w}」"} for w in own]
    found = texts(cut(tmp_path, STEPS, {"in": records}))
    assert sorted(found.values(), key=len)[0] in {f"{w}。「{w}」" for w in own}
    assert sorted(found.values(), key=len)[1] in {record["text"] for record in records}


def test_copies_that_overlap_are_one_cut(tmp_path):
    """The tail of one copy is the head of another: what is common to three documents in parts goes in one piece."""
    stream = words(1, 140)
    records = [
        {"id": "long", "source": "s", "text": " ".join(stream)},
        {"id": "head", "source": "s", "text": "x " + " ".join(stream[:90]) + " y"},
        {"id": "tail", "source": "s", "text": "v " + " ".join(stream[60:]) + " w"},
    ]
    out = cut(tmp_path, [{"dedup": {"substrings": {"keep": "none"}}}], {"in": records}, output=", rejected_text: true")
    assert texts(out) == {"head": "x y", "tail": "v w"}
    assert [(row["id"], row["reason"]) for row in rejected(out)] == [("long", "chars_left.min")]
    assert rejected(out)[0]["text"] == records[0]["text"]
    rows = {row["id"]: row for row in removed(out, "substrings")}
    assert {name: row["tokens"] for name, row in rows.items()} == {"long": 140, "head": 90, "tail": 80}
    assert rows["long"]["text"] == records[0]["text"]
    account = manifest(out)["account"]
    assert account == {"read": 3, "kept": 2, "rejected": 1, "quarantined": 0}


def corpus(seed=7, documents=60):
    """Documents put together of common pieces of 20 to 120 tokens and words of their own."""
    rng = np.random.default_rng(seed)
    pieces = [words(100 + i, int(rng.integers(20, 120))) for i in range(12)]
    records = []
    for n in range(documents):
        parts = []
        for _ in range(int(rng.integers(1, 6))):
            piece = pieces[rng.integers(len(pieces))]
            start = int(rng.integers(0, len(piece) // 2))
            parts += [f"own{n}x{rng.integers(10**6)}"] * (rng.random() < 0.5) + piece[start:]
        text = "".join(word + str(rng.choice([" ", ". ", "\n", "\n\n"], p=[0.85, 0.08, 0.05, 0.02])) for word in parts)
        records.append({"id": f"d{n}", "source": "s", "text": text.strip()})
    return records


@pytest.mark.parametrize("keep", ["first", "none"])
def test_exactly_the_common_runs(keep, tmp_path, monkeypatch):
    """The whole pipeline, in small partitions and groups, against a table of all runs of 50 tokens."""
    monkeypatch.setattr("pipeline.matching.groups.CUT_ROWS", ((200, 1 << 31),))
    monkeypatch.setattr("pipeline.matching.partitions.RUN_ROWS", 300)
    monkeypatch.setattr("pipeline.matching.groups.GROUP", 2)
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    monkeypatch.setattr("pipeline.files.tables.ROWS", 4)
    records = corpus()
    out = cut(tmp_path, [{"dedup": {"substrings": {"keep": keep}}}], {f"in{i}": records[i::5] for i in range(5)})
    names = order(records, tmp_path)
    ranks = [names.index(record["id"]) for record in records]
    expected = cut_plainly([record["text"] for record in records], 50, keep == "first", ranks)
    left = {record["id"]: text for record, text in zip(records, expected) if text.strip()}
    assert texts(out) == left
    assert {row["id"] for row in rejected(out)} == {r["id"] for r in records} - left.keys()
    assert all(row["tokens"] >= 50 for row in removed(out, "substrings"))
    assert sum(len(t) for t in expected) < 0.8 * sum(len(r["text"]) for r in records)


def test_the_same_bytes(tmp_path, monkeypatch):
    records = corpus(8)
    steps = [{"dedup": {"lines": {"max_repeats": 3}}}, *STEPS, {"dedup": {"minhash": {}}}]
    split = "{train: 0.7, test: 0.3}"
    one = cut(tmp_path, steps, {f"in{i}": records[i::3] for i in range(3)}, split=split, out="one")
    assert (
        manifest(one)["cut"]["01.dedup.lines"]["lines"] > 0 < manifest(one)["cut"]["02.dedup.substrings"]["substrings"]
    )
    monkeypatch.setattr("pipeline.matching.groups.CUT_ROWS", ((100, 1 << 31),))
    monkeypatch.setattr("pipeline.matching.partitions.RUN_ROWS", 77)
    monkeypatch.setattr("pipeline.matching.groups.GROUP", 1)
    two = cut(tmp_path, steps, split=split, out="two", batch=7)
    assert sums(one) == sums(two)
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    assert texts(cut(tmp_path, steps, split=split, out="three")) == texts(one)
    assert all(finding.ok for finding in check(str(one)))


def test_other_files_the_same_texts(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    records = corpus(9)
    one = cut(tmp_path / "a", STEPS, {"x": records[:20], "y": records[20:]})
    other = cut(tmp_path / "b", STEPS, {"p": records[::-2], "q": records[-2::-2], "r": []})
    assert texts(one) == texts(other)


KILLER = """
import os, signal, sys
import pipeline.files.commit as commit
stage, nth, seen = sys.argv[1], int(sys.argv[2]), 0
put = commit.storage.put_if_absent

def killing(path, data):
    global seen
    if f"/manifests/{stage}/" in path:
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)
    return put(path, data)

commit.storage.put_if_absent = killing
from pipeline.cli import main
sys.argv = ["gristmill", *sys.argv[3:]]
main()
"""


def test_killed_and_resumed(tmp_path):
    """One run is killed three times, with files published and no manifest yet, and ends as one that was never disturbed."""
    records = corpus(10, 30)
    steps = [{"dedup": {"lines": {"max_repeats": 3}}}, *STEPS]
    whole = cut(tmp_path, steps, {f"in{i}": records[i::3] for i in range(3)})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        RECIPE.format(
            paths=tmp_path / "*.jsonl",
            out=tmp_path / "again",
            steps=json.dumps(steps),
            split="{train: 1}",
            output="",
            batch=9,
        )
    )
    for stage in ("lines-cut", "substrings-share", "substrings-cut"):
        done = subprocess.run([sys.executable, "-c", KILLER, stage, "1", "run", str(recipe)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, (stage, done.stderr.decode())
    cut(tmp_path, steps, out="again", batch=9)
    assert sums(tmp_path / "again") == sums(whole)
    assert not [path for path in (tmp_path / "again" / ".work").rglob("*") if path.name != "job.json"]


def test_preview_plan_and_explain_tell(tmp_path):
    copied, footer = run_of(1, 60), "Read more at example.org"
    records = [{"id": f"d{i}", "source": "s", "text": f"{run_of(10 + i, 30)}\n{footer}\n"} for i in range(8)]
    records += [{"id": f"c{i}", "source": "s", "text": f"own{i}\n{copied}\nmore{i}"} for i in range(2)]
    steps = [{"dedup": {"lines": {}}}, *STEPS]
    out = cut(tmp_path, steps, {"in": records})
    job, _ = job_of(tmp_path, steps, out="again")
    plan = outlook_text(outlook(job))
    assert "01.dedup.lines" in plan and "max_repeats: 6" in plan and "substrings-share" in plan
    sample, _ = preview(job, 100)
    assert "01.dedup.lines cut 8 lines" in sample and footer in sample
    assert "02.dedup.substrings cut 1 substrings" in sample
    told = explain(str(out), "d3")
    assert "01.dedup.lines" in told and footer in told and "in 8 documents" in told
    cut_one = removed(out, "substrings")[0]["id"]
    told = explain(str(out), cut_one)
    assert "02.dedup.substrings" in told and "60 tokens" in told and copied[:40] in told
    assert "60 tokens" not in explain(str(out), "c1" if cut_one == "c0" else "c0")


def test_a_changed_recipe_makes_other_tasks(tmp_path):
    cut(tmp_path, STEPS, {"in": corpus(documents=5)})
    jobs = [job_of(tmp_path, [{"dedup": {"substrings": {"min_tokens": n}}}])[0] for n in (50, 51, 50)]
    ids = [stage_tasks(job, "refine", [])[0]["task"] for job in jobs]
    assert ids[0] == ids[2] != ids[1]
