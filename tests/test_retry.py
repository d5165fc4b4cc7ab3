"""What was quarantined is read again after a fix, and the corpus is that of a fresh run, to the byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from corpus import gristmill, sums
from test_run import manifest

from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError, RecipeError, RunError
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.recipe import Run
from pipeline.retry import retry, run_settings
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


def mill(folder: Path, out: str, keep: bool = False) -> None:
    text = RECIPE.format(folder=folder, out=folder / out, keep=str(keep).lower())
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
    stamp = (three / "out" / ".work" / "refine" / "000000.docs.parquet").stat().st_mtime_ns
    told = retry(str(three / "out"), Run(engine="local", keep_work=True), LocalEngine(), Silent())
    assert (told.code, told.tasks_kept) == (0, 1) and sum(line.endswith("mended") for line in told.lines) == 2
    assert (three / "out" / ".work" / "refine" / "000000.docs.parquet").stat().st_mtime_ns == stamp
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
        run_settings(["steps.0.keep.word_count.min=5"])
    with pytest.raises(RecipeError, match="did you mean 'attempts'"):
        run_settings(["run.attemps=5"])
    monkeypatch.setattr("pipeline.retry.code_version", lambda: "0.0.0+other")
    with pytest.raises(RunError, match="another version"):
        again(three, "out")


def test_the_command(three: Path) -> None:
    (three / "out.yaml").write_text(RECIPE.format(folder=three, out=three / "out", keep="false"))
    assert gristmill("run", str(three / "out.yaml"), "-q").returncode == 0
    mend(three)
    (three / "in" / "2.jsonl").write_bytes(shard(2))
    assert gristmill("retry", str(three / "out")).returncode == 2
    done = gristmill("retry", str(three / "out"), "--quarantined", "--engine", "local", "-q")
    assert done.returncode == 0, done.stderr
    assert "1.jsonl.gz" in done.stdout and "-> mended" in done.stdout
    done = gristmill("retry", str(three / "out"), "--quarantined", "--engine", "local")
    assert done.returncode == 0 and "Nothing in" in done.stdout
    assert manifest(three / "out")["account"]["quarantined"] == 0
