"""The command as a user meets it: exit codes, what is printed where, the letters for bad input."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from corpus import CHECKOUT, DEMO, RECIPE, gristmill

SMALL = "input: {{paths: {paths}}}\nsteps:\n  - keep: {{word_count: {{min: 3}}}}\n  - dedup: {{exact: {{}}}}\noutput: {{path: out}}\nrun: {{engine: local}}\n"


@pytest.fixture
def small(tmp_path):
    """A folder with a recipe and a few records."""
    rows = [{"id": str(i), "text": f"document number {i % 7} with some words"} for i in range(10)] + [
        {"id": "x", "text": "short"}
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(SMALL.format(paths="data.jsonl"))
    return tmp_path


def test_run_prints_the_funnel_and_where_to_look(small):
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["read", "11", "100.0%"]
    assert any(line.split()[:3] == ["01.keep.word_count", "word_count.min", "-1"] for line in lines)
    assert any(line.split()[:3] == ["02.dedup.exact", "exact_duplicate", "-3"] for line in lines)
    assert any(line.split()[:2] == ["kept", "7"] for line in lines)
    assert "gristmill check out" in done.stdout and " s, " in done.stdout
    assert "refine: 1/1 tasks, 11 documents" in done.stderr


def test_run_again_says_that_it_is_done(small):
    gristmill("run", "recipe.yaml", cwd=small)
    again = gristmill("run", "recipe.yaml", cwd=small)
    assert again.returncode == 0
    assert "out is finished already" in again.stdout


def test_quiet_and_json(small):
    quiet = gristmill("run", "recipe.yaml", "--quiet", cwd=small)
    assert quiet.stderr == ""
    told = json.loads(gristmill("run", "recipe.yaml", "--json", "--output", "other", cwd=small).stdout)
    assert told["account"] == {"read": 11, "kept": 7, "rejected": 4, "quarantined": 0}
    assert told["exit_code"] == 0 and told["output"] == "other"


def test_wrong_recipe_is_exit_code_2(small):
    (small / "recipe.yaml").write_text("input: {paths: data.jsonl}\noutptu: {path: out}\n")
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 2
    assert "recipe.yaml:2: unknown key 'outptu', did you mean 'output'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["run"], ["rnu", "x"], ["run", "recipe.yaml", "--wrokers", "2"]])
def test_wrong_usage_is_exit_code_2(small, arguments):
    done = gristmill(*arguments, cwd=small)
    assert done.returncode == 2
    assert "Usage" in done.stderr or "Try" in done.stderr


@pytest.mark.parametrize(
    ("paths", "letter"),
    [
        ("none.jsonl", "none.jsonl"),
        ("'*.parquet'", "*.parquet"),
        ("empty/", "empty"),
        ("[]", "at least 1 item"),
        ("zero.jsonl", "are empty"),
    ],
)
def test_input_that_is_not_there(small, paths, letter):
    (small / "empty").mkdir()
    (small / "zero.jsonl").write_text("")
    (small / "recipe.yaml").write_text(SMALL.format(paths=paths))
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 2, done.stdout
    assert "recipe.yaml:1:" in done.stderr and letter in done.stderr
    assert "Traceback" not in done.stderr


def test_parquet_without_the_text_column_is_quarantined_with_a_letter(small):
    pq.write_table(pa.table({"id": ["a"], "txt": ["some words are here"]}), small / "data.parquet")
    (small / "recipe.yaml").write_text(SMALL.format(paths="[data.jsonl, data.parquet]"))
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 3, done.stderr
    assert "data.parquet" in done.stdout and "txt" in done.stdout and "text" in done.stdout
    allowed = gristmill("run", "recipe.yaml", "--output", "b", "--set", "run.max_quarantined=0.5", cwd=small)
    assert allowed.returncode == 0


def test_truncated_gzip_keeps_what_was_whole_and_says_so(small):
    whole = gzip.compress(
        "".join(
            json.dumps({"id": str(i), "text": f"words of document {i * 7919}"}) + "\n" for i in range(5000)
        ).encode()
    )
    (small / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (small / "recipe.yaml").write_text(SMALL.format(paths="cut.jsonl.gz"))
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 0, done.stderr
    assert "damaged (read up to the damage): cut.jsonl.gz" in done.stdout
    entries = [json.loads(line) for line in (small / "out" / "quarantine" / "part-00000.jsonl").open()]
    assert (
        len(entries) == 1 and entries[0]["tail"] and entries[0]["shard"] == "cut.jsonl.gz" and entries[0]["offset"] > 0
    )
    told = json.loads((small / "out" / "manifest.json").read_text())["account"]
    assert told["kept"] > 1000 and told["read"] == told["kept"] + 1


def test_check_finds_what_was_tampered_with(small):
    gristmill("run", "recipe.yaml", "-q", cwd=small)
    assert gristmill("check", "out", cwd=small).returncode == 0
    (small / "out" / "train" / "stray.jsonl").write_text("{}\n")
    found = gristmill("check", "out", cwd=small)
    assert (
        found.returncode == 1
        and "FAIL  no file lies among them" in found.stdout
        and "train/stray.jsonl" in found.stdout
    )
    (small / "out" / "train" / "stray.jsonl").unlink()
    part = small / "out" / "train" / "part-00000.jsonl.zst"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    found = gristmill("check", "out", cwd=small)
    assert found.returncode == 1 and "other bytes than were published" in found.stdout
    part.unlink()
    assert "is missing" in gristmill("check", "out", cwd=small).stdout
    assert gristmill("check", "nowhere", cwd=small).returncode == 1


def test_explain_tells_each_value_against_its_threshold(small):
    gristmill("run", "recipe.yaml", "-q", cwd=small)
    out = gristmill("explain", "out", "x", cwd=small).stdout
    assert "record 10 of data.jsonl" in out
    assert "word_count" in out and "min 3" in out and "FAILS" in out
    assert "rejected at 01.keep.word_count: word_count.min" in out
    duplicates = [
        r for r in pq.read_table(small / "out" / "rejected" / "part-00000.parquet").to_pylist() if r["duplicate_of"]
    ]
    told = gristmill("explain", "out", duplicates[0]["id"], cwd=small).stdout
    assert f"duplicate of {duplicates[0]['duplicate_of']}; similarity 1.0000" in told
    assert (
        "kept     in train/part-00000.jsonl.zst"
        in gristmill("explain", "out", duplicates[0]["duplicate_of"], cwd=small).stdout
    )
    missing = gristmill("explain", "out", "nobody", cwd=small)
    assert missing.returncode == 1 and "No document 'nobody'" in missing.stderr


def test_plan_reads_nothing_but_listings(small):
    (small / "data.jsonl").chmod(0o000)
    done = gristmill("plan", "recipe.yaml", cwd=small)
    assert done.returncode == 0, done.stderr
    assert "refine   1 tasks, 0 done" in done.stdout and "word_count >= 3" in done.stdout
    assert not (small / "out").exists()


def test_preview_shows_examples_and_writes_nothing():
    done = gristmill("preview", RECIPE, "-n", "60", "--input", str(DEMO / "docs_0.jsonl.gz"), cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert "A sample of 60 documents" in done.stdout and "Nothing is written" in done.stdout
    assert "threshold" in done.stdout and "For all 1 files" in done.stdout


def test_signals_lists_everything_a_recipe_can_name():
    import filters

    filters.load_builtin()
    done = gristmill("signals")
    ours = [name for name, each in filters.SIGNALS.items() if each.function.__module__.startswith("filters.")]
    assert len(ours) >= 40
    for name in [*ours, "c4_lines", "repair_unicode", "scrub_pii", "gopher_quality", "c4", "fineweb", "minhash"]:
        assert name in done.stdout


def test_every_command_and_option_teaches():
    for command in ("run", "preview", "plan", "explain", "check", "signals", "warmup", "train-classifier"):
        text = gristmill(command, "--help").stdout
        assert "Usage:" in text and len(text.splitlines()) > 5, text


def test_readme_names_every_command():
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    for command in ("run", "preview", "plan", "explain", "check", "signals", "warmup", "train-classifier"):
        assert f"gristmill {command}" in readme
    start = readme.index("```yaml")
    page = readme[start + 7 : readme.index("```", start + 7)]
    assert yaml.safe_load(page)["steps"]


def test_two_runs_in_one_folder_are_refused(small):
    import os
    import socket
    import time

    work = small / "out" / ".work"
    work.mkdir(parents=True)
    (work / "lease.json").write_text(
        json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()})
    )
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 1 and "Another run works on this output" in done.stderr
    (work / "lease.json").write_text(json.dumps({"pid": 2**22 - 3, "host": socket.gethostname(), "time": time.time()}))
    assert gristmill("run", "recipe.yaml", "-q", cwd=small).returncode == 0


def test_a_classifier_is_trained_and_used_as_a_signal(small):
    """From labelled lines to a model to a rule of a recipe, by commands alone."""
    import random

    random.seed(1)
    words = {"good": ["mill", "grain", "flour", "stone", "bread"], "bad": ["buy", "cheap", "click", "win", "now"]}
    rows = [
        {"text": " ".join(random.choices(words[label], k=30)), "label": label}
        for label in ("good", "bad")
        for _ in range(300)
    ]
    (small / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trained = gristmill("train-classifier", "labelled.jsonl", "quality.bin", "--dim", "8", "--epoch", "10", cwd=small)
    assert trained.returncode == 0, trained.stderr
    assert "good: precision 1.000, recall 1.000" in trained.stdout and "threshold" in trained.stdout
    (small / "recipe.yaml").write_text(
        "input: {paths: mixed.jsonl}\nsteps:\n  - keep: {fasttext: {model: quality.bin, label: good, min: 0.5}}\n"
        "output: {path: out, signals: all}\nrun: {engine: local}\n"
    )
    (small / "mixed.jsonl").write_text(
        "".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows[290:310]))
    )
    done = gristmill("run", "recipe.yaml", "--json", cwd=small)
    told = json.loads(done.stdout)
    assert told["rejected"] == {"01.keep.quality": {"quality.min": 10}}, done.stderr
    assert told["account"]["kept"] == 10
    rows = pq.read_table(small / "out" / "rejected" / "part-00000.parquet").to_pylist()
    assert all(row["signals"]["quality"] == row["value"] < 0.5 for row in rows)
    assert "quality" in gristmill("explain", "out", rows[0]["id"], cwd=small).stdout


@pytest.mark.parametrize(
    ("step", "letter"),
    [
        ("{model: none.bin, label: hq}", "none.bin"),
        ("{label: hq}", "'steps.0.keep.fasttext.model' is missing"),
        ("{model: data.jsonl, label: hq}", "data.jsonl"),
    ],
)
def test_a_classifier_that_is_none(small, step, letter):
    (small / "recipe.yaml").write_text(
        f"input: {{paths: data.jsonl}}\nsteps:\n  - keep: {{fasttext: {step}}}\noutput: {{path: out}}\n"
    )
    done = gristmill("run", "recipe.yaml", cwd=small)
    assert done.returncode == 2 and "recipe.yaml:3" in done.stderr and letter in done.stderr, done.stderr


def test_warmup_compiles_once(tmp_path, monkeypatch):
    """Into the folder it is told; a second call finds all done, and so does a process that starts at the same time."""
    import subprocess
    import sys

    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "pipeline.cli", "warmup"]
    both = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert sum("Compiling kernels" in text for text in told) == 1, told
    assert all("The kernels are ready." in text for text in told)
    assert "Compiling" not in gristmill("warmup").stdout


def test_a_home_that_cannot_be_written_stops_nothing(small, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setenv("GRISTMILL_CACHE", "/proc/nowhere")
    done = gristmill("run", "recipe.yaml", "-q", cwd=small)
    assert done.returncode == 0, done.stderr


def test_inputs_of_several_kinds_with_their_own_columns(small):
    """A recipe may list inputs; each says which field fills which column, and unknown fields go to metadata."""
    (small / "wiki").mkdir()
    (small / "wiki" / "a.csv").write_text('key,body,stars\nc1,"first, with\na second line",5\n')
    (small / "b.jsonl").write_text('{"id": "j1", "content": "another text", "lang": "en", "nested": {"deep": [1]}}\n')
    (small / "recipe.yaml").write_text(
        "input:\n  - {paths: wiki/, id: key, text: body}\n  - {paths: b.jsonl, text: content, lang: lang, dataset: forum}\n"
        "steps:\n  - keep: {word_count: {min: 1}}\n    where: {lang: en}\n"
        "output: {path: out, format: jsonl, shuffle: false}\nrun: {engine: local}\n"
    )
    done = gristmill("run", "recipe.yaml", "-q", cwd=small)
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in map(json.loads, (small / "out" / "train" / "part-00000.jsonl").open())}
    assert rows["c1"]["text"] == "first, with\na second line" and rows["c1"]["source"] == "wiki"
    assert json.loads(rows["c1"]["metadata"]) == {"stars": "5"}
    assert rows["j1"]["text"] == "another text" and rows["j1"]["source"] == "forum" and rows["j1"]["lang"] == "en"
    assert json.loads(rows["j1"]["metadata"]) == {"nested": {"deep": [1]}}
