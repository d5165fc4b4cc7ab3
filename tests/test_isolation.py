"""A document that crashes, hangs or eats memory in native code costs itself only, and the rest is what it would be."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from corpus import gristmill, kept, manifest, rejected, sums
from fuzz_seeds import warc_record

from filters import extract
from filters.step import set_column
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.engines.local import LocalEngine
from pipeline.engines.worker import died, tries
from pipeline.errors import RunError
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.refining import isolation
from pipeline.refining.isolation import Cell
from pipeline.refining.refine import batches
from pipeline.run import run

POISON = '''
import ctypes, os, re, signal
import numpy as np
import pyarrow as pa
from filters import signal as register

def crash(): ctypes.string_at(0)
def hang(): re.match(r"(a+)+$", "a" * 60 + "b")  # one call into C, with the lock of Python held

def hoard(): held = [bytearray(os.urandom(1 << 20) * 50) for _ in range(100)]
def kill(): os.kill(os.getpid(), signal.SIGKILL)
def raises(): raise ValueError("no")

@register(family="test", source="this test")
def poison(texts):
    """Does what a bug in a C library does, at some documents."""
    out = np.ones(len(texts))
    for row, text in enumerate(texts.strings):
        word = text.split()[0]
        if word.startswith("POISON-"):
            out[row] = 0
            if "HARMLESS" not in os.environ:
                globals()[word[7:]]()
    return out

@register(family="test", source="this test")
def fussy(texts):
    """Likes no digits; other texts are 1."""
    if any(re.search("[0-9]", text) for text in texts.strings):
        raise ValueError("a digit")
    return np.ones(len(texts))

@register(family="test", source="this test")
def threads(texts):
    """How many threads Arrow may use here."""
    return np.full(len(texts), float(pa.cpu_count()))
'''
RECIPE = """
uses: {folder}/poison.py
input: {{paths: {folder}/in}}
steps:
  - edit: {{normalize_whitespace: {{}}}}
  - keep: {{poison: {{min: 1}}}}
  - dedup: {{exact: {{}}}}
output: {{path: {out}, format: jsonl, split: {{train: 0.9, validation: 0.1}}, signals: [word_count{signals}]}}
run: {{engine: local, isolate: {isolate}, document_seconds: {seconds}, document_memory: 300MB, batch_size: {batch}}}
"""


def recipe(
    folder: Path, out: str, isolate: str, *, seconds: float = 1, batch: int = 1000, signals: str = "", cut: str = ""
) -> str:
    """A recipe's file in `folder` whose step may do harm."""
    (folder / "poison.py").write_text(POISON)
    more = {"seconds": seconds, "batch": batch, "signals": signals}
    text = RECIPE.format(folder=folder, out=folder / out, isolate=isolate, **more)
    (folder / f"{out}.yaml").write_text(text.replace("  - dedup", f"{cut}  - dedup"))
    return str(folder / f"{out}.yaml")


def documents(folder: Path, *poisons: str, files: int = 2, count: int = 90) -> None:
    """Files of numbered documents; each poison is in the first, spread over it."""
    (folder / "in").mkdir(exist_ok=True)
    for number in range(files):
        texts = [f"document {number}.{row} of some words" for row in range(count)]
        for place, poison in enumerate(poisons if number == 0 else ()):
            texts[(place + 1) * count // (len(poisons) + 1)] = f"POISON-{poison} and some words"
        rows = [{"id": f"{number}.{row}", "text": text} for row, text in enumerate(texts)]
        (folder / "in" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def mill(path: str) -> None:
    """A run in this process."""
    job, settings = prepare(path)
    run(job, settings.run, LocalEngine(settings.run), Silent())


EXPECTED = {
    "crash": ("error.crashed", "SIGSEGV", None),
    "hang": ("error.timeout", None, 1.0),
    "hoard": ("error.memory", None, 3e8),
    "kill": ("error.killed", "SIGKILL", None),
    "raises": ("error.ValueError", "no", None),
}


def test_each_poison_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `always` the documents are in another process from the start: the same bytes, but for the reasons."""
    documents(tmp_path, *EXPECTED)  # all within one batch
    mill(recipe(tmp_path, "isolated", "always"))
    monkeypatch.setenv("HARMLESS", "1")
    mill(recipe(tmp_path, "calm", "never"))
    assert kept(tmp_path / "isolated") == kept(tmp_path / "calm") and len(kept(tmp_path / "calm")) == 180 - len(
        EXPECTED
    )
    for split in ("train", "validation"):
        same = [
            {path: value for path, value in sums(tmp_path / name).items() if path.startswith(split)}
            for name in ("isolated", "calm")
        ]
        assert same[0] == same[1] and same[0]
    found = rejected(tmp_path / "isolated")
    assert [(row["reason"], row["detail"], row["threshold"]) for row in found] == list(EXPECTED.values())
    assert {row["step"] for row in found} == {"02.keep.poison"} and found[0]["shard"].endswith("0.jsonl")
    assert [row["record"] for row in found] == [row["record"] for row in rejected(tmp_path / "calm")]
    assert manifest(tmp_path / "isolated")["account"] == {"read": 180, "kept": 175, "rejected": 5, "quarantined": 0}
    assert manifest(tmp_path / "isolated")["edited"] == manifest(tmp_path / "calm")["edited"]
    assert all(finding.ok for finding in check(str(tmp_path / "isolated")))


def test_isolation_changes_no_byte(tmp_path: Path) -> None:
    documents(tmp_path, "raises")
    for name, isolate, batch in (("a", "never", 1000), ("b", "always", 1000), ("c", "always", 7)):
        mill(recipe(tmp_path, name, isolate, batch=batch))
    assert sums(tmp_path / "a") == sums(tmp_path / "b") == sums(tmp_path / "c")


def test_a_document_that_only_a_recorded_signal_fails_on_goes_like_any_other(tmp_path: Path) -> None:
    """No rule asks for `fussy`: it is measured at the end, within the same fences; behind steps that cut texts, too."""
    (tmp_path / "in").mkdir()
    rows = [
        {"id": str(row), "text": f"words of a document{' 7' * (row % 9 == 0)} {chr(97 + row)}"} for row in range(20)
    ]
    (tmp_path / "in" / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, isolate, cut in (("a", "never", ""), ("b", "always", ""), ("c", "never", "  - dedup: {lines: {}}\n")):
        mill(recipe(tmp_path, name, isolate, batch=7, signals=", fussy", cut=cut))
        assert manifest(tmp_path / name)["account"] == {"read": 20, "kept": 17, "rejected": 3, "quarantined": 0}
        found = [(row["id"], row["step"], row["reason"], row["detail"]) for row in rejected(tmp_path / name)]
        assert sorted(found) == [(each, "99.signals", "error.ValueError", "a digit") for each in ("0", "18", "9")]
        assert all(row["signals"]["fussy"] == 1 for row in kept(tmp_path / name))
    assert sums(tmp_path / "a") == sums(tmp_path / "b")
    assert "error.ValueError" in explain(str(tmp_path / "a"), "9")


def test_what_goes_to_the_process_and_what_is_lost_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents(tmp_path, "crash", files=1)
    job, _ = prepare(recipe(tmp_path, "out", "always", signals=", threads"))
    table = next(batches(job, job.shards[0]))[0]
    padded = [text if "POISON" in text else text + " word" * 10_000 for text in table["text"].to_pylist()]
    table = set_column(table, "text", pa.array(padded, pa.large_string()))
    sent: list[tuple[int, int]] = []

    def told(pipe: Any, value: Any) -> None:
        sent.extend([(len(value), len(pickle.dumps(value)))] if isinstance(value, pa.Table) else [])
        send(pipe, value)

    send = isolation._send
    monkeypatch.setattr(isolation, "_send", told)
    signal.signal(signal.SIGALRM, lambda *given: pytest.fail("both wait for each other"))
    signal.alarm(60)
    with contextlib.closing(Cell(job)) as cell:
        cell._ready()  # a fork that is killed while the batch, larger than a pipe, is on its way to it
        os.kill(cell._fork, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (cell._fork, signal.SIGKILL)).start()
        for rows in (table.slice(0, 40), table.slice(40), table.slice(0, 3)):
            outcomes = list(cell.apply(rows))
            ids = [each for name, found in outcomes if not name for each in found["id"].to_pylist()]
            assert ids == [each for each in rows["id"].to_pylist() if each != "0.45"]
            measured = [found["signal.threads"].to_pylist() for name, found in outcomes if not name and len(found)]
            assert {each for values in measured for each in values} == {1.0}  # one thread a task, here too
    signal.alarm(0)
    alone = [size for rows, size in sent if rows == 1]
    assert len(alone) == 32 and max(alone) < 100_000 < sum(alone)  # of 50 kB each: nobody is charged for neighbours


def test_the_process_goes_with_a_task_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents(tmp_path)
    closed = []
    monkeypatch.setattr(Cell, "apply", lambda *given: (_ for _ in ()).throw(OSError("no space")))
    monkeypatch.setattr(Cell, "close", lambda cell: closed.append(cell))
    with pytest.raises(RunError, match="no space"):
        mill(recipe(tmp_path, "out", "always"))
    assert len(closed) == 3  # as many as attempts


@pytest.mark.parametrize(
    ("poison", "code", "reason"),
    [("crash", -signal.SIGSEGV, "error.crashed"), ("hang", 1, "error.timeout")],
)
def test_the_local_engine_gets_past_it_at_the_second_try(tmp_path: Path, poison: str, code: int, reason: str) -> None:
    """The run dies with its process; the mark that it left sends the task's documents into another one."""
    documents(tmp_path, poison)
    path = recipe(tmp_path, "out", "auto")
    # what hangs is ended after ten times as much
    first = gristmill("run", path, "-q", "--set", "run.document_seconds=0.3")
    assert first.returncode == code, first.stderr
    assert (code < 0) or ("Timeout" in first.stderr and "poison.py" in first.stderr)
    again = gristmill("run", path, "-q")
    assert again.returncode == 0, again.stderr
    (row,) = rejected(tmp_path / "out")
    assert (row["reason"], row["id"]) == (reason, "0.45")
    assert len(kept(tmp_path / "out")) == 179


def test_a_memory_bomb_is_refused_before_the_machine_is_full(tmp_path: Path) -> None:
    """Not isolated, an allocation beyond twice the limit fails; most code takes that for an exception."""
    documents(tmp_path, "hoard")
    path = Path(recipe(tmp_path, "out", "auto", seconds=60))
    path.write_text(path.read_text().replace("300MB", "64MB"))
    mill(str(path))
    (row,) = rejected(tmp_path / "out")
    assert row["reason"] == "error.MemoryError" and len(kept(tmp_path / "out")) == 179


def test_a_worker_that_dies_is_followed_by_one_that_isolates(tmp_path: Path) -> None:
    """What Ray's workers and the early helpers do with a task."""
    from pipeline.engines.starting import Helper
    from pipeline.folder import claim
    from pipeline.job import fingerprint
    from pipeline.plan import stage_tasks

    documents(tmp_path, "crash", files=1)
    job, settings = prepare(recipe(tmp_path, "out", "auto"))
    claim(job, settings.run)
    (task,) = stage_tasks(job, "refine", [])
    spec = {**task, "job": fingerprint(job.as_json()), "session": "s", "attempts": 1, "isolate": "auto"}
    first, second = Helper(), Helper()
    try:
        assert first.do(spec) is None
        result = second.do(spec)
    finally:
        first.end()
        second.end()
    assert result and result["ok"]
    assert result["counts"]["account"]["rejected"] == {"02.keep.poison": {"error.crashed": 1}}


def test_never_is_never(tmp_path: Path) -> None:
    """Then a task is tried as often as `attempts` says, and its shard is set aside."""
    assert (tries(3, "never"), tries(3, "auto"), tries(1, "never"), tries(1, "auto")) == (3, 3, 1, 2)
    documents(tmp_path, "crash", count=3)
    path = recipe(tmp_path, "out", "never")
    once = ("run", path, "-q", "--set", "run.attempts=1")
    assert gristmill(*once).returncode == -signal.SIGSEGV
    done = gristmill(*once)
    assert done.returncode == 3 and "died 1 times" in done.stdout
    assert list(manifest(tmp_path / "out")["shards"]["quarantined"]) == [str(tmp_path / "in" / "0.jsonl")]
    assert len(kept(tmp_path / "out")) == 3


def test_two_deadly_shards_of_one_task_are_set_aside_although_each_ends_the_command(tmp_path: Path) -> None:
    """The local engine's way with `isolate: never`: what was given up is known to the next command, too."""
    documents(tmp_path, files=3, count=2)
    job, settings = prepare(recipe(tmp_path, "out", "never"))
    deadly = [shard["path"] for shard in job.shards[:2]]

    class Deadly(LocalEngine):
        def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
            for spec in specs:
                left = [path for path in deadly if path not in spec.get("give_up", {})]
                mark = tmp_path / "out" / ".work" / "attempts" / f"{spec['task']}.shard"
                if spec["stage"] != "refine" or not left:
                    yield from super().map([spec])
                elif mark.exists() and not spec.get("give_up"):
                    yield died(spec, 1)  # the command before has died of it
                else:
                    mark.parent.mkdir(parents=True, exist_ok=True)
                    mark.write_text(left[0])
                    raise SystemExit

    for _ in deadly:
        with pytest.raises(SystemExit):
            run(job, settings.run, Deadly(), Silent())
    run(job, settings.run, Deadly(), Silent())
    assert sorted(manifest(tmp_path / "out")["shards"]["quarantined"]) == deadly
    assert len(kept(tmp_path / "out")) == 2


UNFENCED = """
from filters import extract
extract.too_costly = lambda page: None
"""


def test_a_page_that_hangs_the_extractor_and_one_that_eats_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the fence before it taken away, so that real pages do real harm: 11 minutes, and 30 GB."""
    good = b"<html><body><main><p>A page of some words that everybody can read, number %d.</p></main></body></html>"
    pages = [good % number for number in range(8)]
    pages[2] = b"<html><body>" + b"<ul><li>" * 100_000 + b"text"
    opened = b"".join(b"<b id=%d>" % number for number in range(8000))
    pages[5] = b"<html><body><p>" + opened + b"</p>" + b"<p>x</p>" * 8000
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    kind = "WARC-Record-ID: <urn:uuid:{}>\r\nContent-Type: application/http; msgtype=response\r\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.warc").write_bytes(
        b"".join(warc_record("response", kind.format(n), http + page) for n, page in enumerate(pages))
    )
    (tmp_path / "unfenced.py").write_text(UNFENCED)
    path = recipe(tmp_path, "out", "always", seconds=1.5)
    text = Path(path).read_text().replace("poison.py", "unfenced.py").replace("  - keep: {poison: {min: 1}}\n", "")
    text = text.replace("300MB", "200MB")
    Path(path).write_text(text.replace("steps:\n", "steps:\n  - extract: {}\n"))
    monkeypatch.setattr(extract, "too_costly", extract.too_costly)  # puts back what the module changes here
    mill(path)
    found = {row["id"]: (row["step"], row["reason"]) for row in rejected(tmp_path / "out")}
    assert found == {"2": ("01.extract", "error.timeout"), "5": ("01.extract", "error.memory")}
    assert sorted(row["id"] for row in kept(tmp_path / "out")) == ["0", "1", "3", "4", "6", "7"]
