"""New documents against earlier corpora: the same verdicts as a full rebuild in which the older win."""

import json
import random
from pathlib import Path

import pytest
from corpus import gristmill, kept, manifest, rejected

from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.files import storage
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run as drive

RECIPE = """
input: {{paths: [{paths}]}}
steps:
  - dedup: {{exact: {{}}}}
  - dedup: {{minhash: {{threshold: 0.7, keep: [{keep}]{more}}}}}
output: {{path: {out}, format: jsonl{output}, split: {{train: 0.7, test: 0.3}}}}
run: {{engine: local}}
"""
WORDS = [f"w{i}" for i in range(3000)]


def corpus(folder: Path) -> tuple[str, str]:
    """Two files, old and new: 120 texts, each with near-copies and equal copies in both."""
    chance = random.Random(4)
    rows: dict[str, list[dict]] = {"old": [], "new": []}
    for number in range(120):
        words = chance.choices(WORDS, k=chance.randint(20, 120))
        for copy in range(chance.randint(1, 5)):
            changed = [chance.choice(WORDS) if chance.random() < 0.02 * copy else word for word in words]
            side = chance.choice(["old", "new"])
            rows[side].append({"id": f"{side}-{number}-{copy}", "source": side, "text": " ".join(changed)})
    for side, found in rows.items():
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(folder / "old.jsonl"), str(folder / "new.jsonl")


def run(folder: Path, name: str, paths: list[str], keep: str = "longest", more: str = "", output: str = "") -> Path:
    page, out = folder / f"{name}.yaml", folder / name
    page.write_text(RECIPE.format(paths=", ".join(paths), keep=keep, more=more, out=out, output=output))
    job, settings = prepare(str(page))
    drive(job, settings.run, LocalEngine(), Silent())
    return out


def verdicts(out: Path, side: str) -> dict[str, tuple]:
    """id -> (kept,) or (keeper, similarity) of the documents of one side."""
    found = {row["id"]: ("kept",) for row in kept(out)}
    found |= {row["id"]: (row["duplicate_of"], row["similarity"]) for row in rejected(out)}
    return {name: verdict for name, verdict in found.items() if name.startswith(side)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("against")
    old, new = corpus(folder)
    run(folder, "first", [old], output=", index: true")
    run(folder, "textonly", [old])
    run(folder, "whole", [old, new], keep="{source: [old, new]}, longest")
    return folder, old, new


@pytest.mark.parametrize("against", ["first", "textonly"])
def test_equals_a_full_rebuild_in_which_the_older_win(runs, against):
    folder, _, new = runs
    out = run(folder, f"second-{against}", [new], more=f", against: [{folder / against}]")
    theirs, ours = verdicts(folder / "whole", "new"), verdicts(out, "new")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert all(finding.ok for finding in check(str(out)))
    details = {row["detail"] for row in rejected(out) if row["duplicate_of"].startswith("old")}
    assert details == {f"in the earlier corpus {folder / against}"}
    named = [verdict[0] for verdict in ours.values() if verdict[0] != "kept"]
    assert any(name.startswith("old") for name in named) and any(name.startswith("new") for name in named)


def test_index_and_text_give_the_same_bytes(runs):
    folder, _, new = runs
    left = run(folder, "left", [new], more=f", against: [{folder / 'first'}]")
    right = run(folder, "right", [new], more=f", against: [{folder / 'textonly'}]")
    parts = [
        {f["path"]: f["sha256"] for f in manifest(out)["files"] if not f["path"].startswith("rejected/")}
        for out in (left, right)
    ]
    assert parts[0] == parts[1]  # the ledger names the corpus, and those are two


def test_an_index_is_copied_in_blocks_of_any_size(runs, monkeypatch):
    folder, old, _ = runs
    monkeypatch.setattr("pipeline.matching.older.BLOCK_SHINGLES", 100)
    out = run(folder, "blocks", [old], output=", index: true")
    theirs, ours = ({p.name: p.read_bytes() for p in (one / "index").iterdir()} for one in (folder / "first", out))
    assert ours == theirs and len(ours["part-00000.shingles.u64"]) > 8 * 1000


def test_index_of_a_foreign_corpus(runs):
    folder, _, new = runs
    page = folder / "foreign.yaml"
    text = RECIPE.format(paths=new, keep="longest", more="", out=folder / "never", output="")
    page.write_text(text)
    # the corpus as the first run left it, under other names
    (folder / "foreign").mkdir()
    rows = [
        json.dumps({"id": row["id"], "source": row["source"], "text": row["text"]}) for row in kept(folder / "first")
    ]
    (folder / "foreign" / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    told = gristmill("index", str(page), "--input", str(folder / "foreign"), "--output", str(folder / "ix"))
    assert told.returncode == 0, told.stderr
    assert f"holds the index of {len(rows)} documents" in told.stdout
    out = run(folder, "third", [new], more=f", against: [{folder / 'ix'}]")
    assert verdicts(out, "new") == verdicts(folder / "whole", "new")


def test_a_corpus_on_s3_is_as_good_as_one_here(runs, s3_bucket):
    """Its index, and its texts where it has none."""
    folder, _, new = runs
    for name in ("first", "textonly"):
        for file in sorted(path for path in (folder / name).rglob("*") if path.is_file() and ".work" not in path.parts):
            storage.write_bytes(f"{s3_bucket}/{name}/{file.relative_to(folder / name)}", file.read_bytes())
        here = run(folder, f"here-{name}", [new], more=f", against: [{folder / name}]")
        there = run(folder, f"there-{name}", [new], more=f", against: ['{s3_bucket}/{name}']")
        files = [
            {f["path"]: f["sha256"] for f in manifest(out)["files"] if not f["path"].startswith("rejected/")}
            for out in (here, there)
        ]
        assert files[0] == files[1]  # the ledger names the corpus
        assert verdicts(here, "new") == verdicts(there, "new")
        details = {row["detail"] for row in rejected(there) if row["duplicate_of"].startswith("old")}
        assert details == {f"in the earlier corpus {s3_bucket}/{name}"}
        assert all(finding.ok for finding in check(str(there)))


def test_letters(runs):
    folder, _, new = runs
    page = folder / "wrong.yaml"
    page.write_text(
        RECIPE.format(
            paths=new, keep="longest", more=f", against: [{folder / 'first'}], seed: 2", out=folder / "x", output=""
        )
    )
    told = gristmill("run", str(page))
    assert told.returncode == 2 and "seed 1 there, 2 here" in told.stderr
    page.write_text(
        RECIPE.format(paths=new, keep="longest", more=f", against: [{folder}]", out=folder / "x", output="")
    )
    told = gristmill("run", str(page))
    assert told.returncode == 2 and "no finished corpus of gristmill and no index" in told.stderr
