"""What was quarantined is read again after a fix, and the corpus is that of a fresh run, to the byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from corpus import gristmill, manifest, sums

from pipeline.commands.retry import retry, run_settings
from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError, RecipeError, RunError
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.recipes.recipe import Run
from pipeline.run import run

RECIPE = """
input: {{paths: {folder}/in}}
steps:
  - keep: {{word_count: {{min: 3}}}}
  - dedup: {{minhash: {{threshold: 0.8}}}}
output: {{path: {out}, format: jsonl, split: {{train: 0.8, validation: 0.2}}}}
run: {{engine: local, keep_work: {keep}}}
"""


def shard(number: int, rows: int = 30) -> bytes:
    """JSON lines; ten of them stand in the next shard, too."""
    lines = [
        {"id": f"{number}.{row}", "text": " ".join(f"w{(number * 20 + row) * 17 % 991 + i}" for i in range(20))}
        for row in range(rows)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards, each a task: one is cut, one has a bad line."""
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jsonl.gz").write_bytes(gzip.compress(shard(0), mtime=0))
    (tmp_path / "in" / "1.jsonl.gz").write_bytes(gzip.compress(shard(1), mtime=0)[:-200])
    (tmp_path / "in" / "2.jsonl").write_bytes(shard(2) + b"{broken\n" + shard(3, 2))
    return tmp_path


def mill(folder: Path, out: str, keep: bool = False, steps: str = "", run_part: str = "") -> None:
    text = RECIPE.format(folder=folder, out=folder / out, keep=f"{str(keep).lower()}{run_part}")
    text = text.replace("  - dedup", f"{steps}  - dedup")
    (folder / f"{out}.yaml").write_text(text)
    job, settings = prepare(str(folder / f"{out}.yaml"))
    run(job, settings.run, LocalEngine(), Silent())


def mend(folder: Path) -> None:
    (folder / "in" / "1.jsonl.gz").write_bytes(gzip.compress(shard(1), mtime=0))


def again(folder: Path, out: str) -> tuple[list[str], int]:
    told = retry(str(folder / out), Run(engine="local"), LocalEngine(), Silent())
    return [line.rpartition("/")[2] for line in told.lines], told.tasks_kept


@pytest.mark.parametrize("keep", [True, False])
def test_a_mended_shard_completes_the_corpus(three: Path, keep: bool) -> None:
    mill(three, "out", keep)
    before = sums(three / "out")
    assert manifest(three / "out")["account"]["quarantined"] == 2
    mend(three)
    lines, kept = again(three, "out")
    assert kept == (1 if keep else 0)  # with the files between stages 0.jsonl.gz is not read again
    assert len(lines) == 2 and lines[0].startswith("1.jsonl.gz: ") and lines[0].endswith("-> mended")
    assert lines[1].startswith("2.jsonl: 1 records quarantined -> as before")
    mill(three, "fresh")
    assert sums(three / "out") == sums(three / "fresh") != before
    assert manifest(three / "out")["account"]["quarantined"] == 1


def test_a_quarantined_shard_keeps_the_work_for_its_retry(three: Path) -> None:
    """Exit code 3 says that the run is not what it should be: what is done stays until it is."""
    (three / "in" / "3.parquet").write_bytes(b"PAR1 and no more")
    mill(three, "out")
    assert list(manifest(three / "out")["shards"]["quarantined"]) == [str(three / "in" / "3.parquet")]
    assert list((three / "out" / ".work" / "refine").iterdir())
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": [f"some words of row {n}" for n in range(5)]}), three / "in" / "3.parquet")
    mend(three)
    stamp = (three / "out" / ".work" / "refine" / "000000.docs.arrow").stat().st_mtime_ns
    told = retry(str(three / "out"), Run(engine="local", keep_work=True), LocalEngine(), Silent())
    assert (told.code, told.tasks_kept) == (0, 1) and sum(line.endswith("mended") for line in told.lines) == 2
    assert (three / "out" / ".work" / "refine" / "000000.docs.arrow").stat().st_mtime_ns == stamp
    mill(three, "fresh")
    assert sums(three / "out") == sums(three / "fresh")


def test_nothing_to_mend_changes_nothing(three: Path) -> None:
    mend(three)
    (three / "in" / "2.jsonl").write_bytes(shard(2))
    mill(three, "out")
    before = sums(three / "out")
    assert again(three, "out") == ([], 0) and sums(three / "out") == before


def test_a_killed_retry_goes_on_with_the_same_command(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mill(three, "out", keep=True)
    mend(three)

    class Killed(LocalEngine):
        def map(self, specs):  # type: ignore[no-untyped-def]
            if specs and specs[0]["stage"] == "match":
                raise KeyboardInterrupt
            yield from super().map(specs)

    with pytest.raises(KeyboardInterrupt):
        retry(str(three / "out"), Run(engine="local"), Killed(), Silent())
    assert not (three / "out" / "manifest.json").exists() and not (three / "out" / "train").exists()
    mill(three, "out", keep=True)  # the recipe, as it is now
    mill(three, "fresh")
    assert sums(three / "out") == sums(three / "fresh")


def test_letters(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no run of gristmill is here"):
        again(three, "nowhere")
    mill(three, "out", keep=True)
    before = sums(three / "out")
    (three / "in" / "1.jsonl.gz").unlink()
    with pytest.raises(InputError, match=r"1\.jsonl\.gz.*It is quarantined. Put it back"):
        again(three, "out")
    assert sums(three / "out") == before, "a retry that cannot begin leaves the corpus alone"
    with pytest.raises(RecipeError, match="only how the work is done"):
        run_settings(str(three / "out"), ["steps.0.keep.word_count.min=5"])
    with pytest.raises(RecipeError, match="did you mean 'attempts'"):
        run_settings(str(three / "out"), ["run.attemps=5"])
    monkeypatch.setattr("pipeline.commands.retry.libraries", lambda: {"pyarrow": "0.1"})
    with pytest.raises(RunError, match=r"of a library:\n  libraries.pyarrow: .* -> \"0.1\""):
        again(three, "out")
    monkeypatch.setattr("pipeline.commands.retry.code_version", lambda: "0.0.0+other")
    with pytest.raises(RunError, match="another version"):
        again(three, "out")


FITTED = "  - keep: {word_count: {quantile: [0.05, 1], min_documents: 2}}\n"
UNLUCKY = """
import os
import numpy as np
from filters import signal

@signal(family="test", source="this test")
def unlucky(texts):
    \"\"\"1; on a day without luck, fails on texts with the word "w1".\"\"\"
    if "UNLUCKY" in os.environ and any("w1 " in text for text in texts.strings):
        raise MemoryError("no luck")
    return np.ones(len(texts))
"""


def test_with_fitted_rules_what_failed_is_done_again_and_the_rest_is_not(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are what they were; so are the bounds, so two of three tasks stay."""
    mend(three)
    (three / "in" / "2.jsonl").write_bytes(shard(2))
    (three / "unlucky.py").write_text(UNLUCKY)
    steps = FITTED + "  - keep: {unlucky: {min: 1}}\n"
    uses = f"\nuses: {three / 'unlucky.py'}\n#"
    monkeypatch.setenv("UNLUCKY", "1")
    mill(three, "out", True, steps, f"}}{uses}")
    monkeypatch.delenv("UNLUCKY")
    lines, kept = again(three, "out")
    assert len(lines) == 1 and lines[0].endswith("documents rejected with error.MemoryError -> mended") and kept == 2
    mill(three, "fresh", True, steps, f"}}{uses}")
    assert sums(three / "out") == sums(three / "fresh")


def test_with_fitted_rules_a_mended_shard_may_change_the_bounds(three: Path) -> None:
    mill(three, "out", True, FITTED)
    mend(three)
    lines, kept = again(three, "out")
    assert lines[0].endswith("-> mended") and kept == 0
    mill(three, "fresh", True, FITTED)
    assert sums(three / "out") == sums(three / "fresh")


@pytest.mark.parametrize("keep", [True, False])
def test_a_file_that_changed_is_read_as_it_is_now(three: Path, keep: bool) -> None:
    """Though nothing of it was quarantined."""
    mill(three, "out", keep)
    mend(three)
    (three / "in" / "0.jsonl.gz").write_bytes(gzip.compress(shard(7), mtime=0))
    lines, kept = again(three, "out")
    assert lines[-1] == "0.jsonl.gz: another file than it was -> read again" and kept == 0
    mill(three, "fresh")
    assert sums(three / "out") == sums(three / "fresh")


@pytest.mark.parametrize("keep", [True, False])
def test_a_file_that_is_gone_is_missed_only_if_it_must_be_read(three: Path, keep: bool) -> None:
    mill(three, "out", keep)
    before = sums(three / "out")
    mend(three)
    (three / "in" / "0.jsonl.gz").unlink()
    if keep:
        assert again(three, "out")[1] == 1
        assert manifest(three / "out")["account"]["quarantined"] == 1
    else:
        with pytest.raises(InputError, match=r"0\.jsonl\.gz.*It would have to be read again"):
            again(three, "out")
        assert sums(three / "out") == before


def test_the_settings_of_the_run_hold_for_its_retry(three: Path) -> None:
    """Those of the recipe and of the command; or a corpus made with --accept-loss would be lost to the guard."""
    same = [{"id": str(row), "text": "these are the very same words in all of them"} for row in range(30)]
    (three / "in" / "0.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in same).encode()))
    (three / "in" / "1.jsonl.gz").unlink()
    (three / "in" / "2.jsonl").write_text("{broken\n")
    mill(three, "out", run_part=", max_source_loss: 1, attempts: 2, document_memory: 1GB")
    before = sums(three / "out")
    settings = run_settings(str(three / "out"), ["run.attempts=4"])
    assert settings == Run(engine="local", max_source_loss=1, attempts=4, document_memory=10**9)
    assert retry(str(three / "out"), settings, LocalEngine(), Silent()).lines[0].endswith("-> as before")
    assert sums(three / "out") == before
    with pytest.raises(RunError, match="--accept-loss"):
        retry(str(three / "out"), Run(engine="local"), LocalEngine(), Silent())


def test_the_command(three: Path) -> None:
    (three / "out.yaml").write_text(RECIPE.format(folder=three, out=three / "out", keep="false"))
    assert gristmill("run", str(three / "out.yaml"), "-q").returncode == 0
    mend(three)
    (three / "in" / "2.jsonl").write_bytes(shard(2))
    assert gristmill("retry", str(three / "out")).returncode == 2
    done = gristmill("retry", str(three / "out"), "--quarantined", "--accept-loss", "-q")  # local, as the recipe has it
    assert done.returncode == 0, done.stderr
    assert "1.jsonl.gz" in done.stdout and "-> mended" in done.stdout
    done = gristmill("retry", str(three / "out"), "--quarantined")
    assert done.returncode == 0 and "Nothing in" in done.stdout
    assert manifest(three / "out")["account"]["quarantined"] == 0
