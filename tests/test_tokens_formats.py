"""Corpora of tokens: every format holds the documents of the same run as text, token for token, however it is done."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import CHECKOUT, DEMO, gristmill, sums
from token_readers import PLAIN

from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.output.writers import read_part
from pipeline.progress import Silent
from pipeline.run import run

TOKENIZER = CHECKOUT / "configs" / "tokenizers" / "demo.json"
LENGTH = 256
PACKS = {
    "documents": None,
    "concatenate": {"length": LENGTH, "how": "concatenate", "pad": None},
    "best_fit": {"length": LENGTH, "how": "best_fit", "pad": 1},
}
RECIPE = f"""
input: {{paths: [{DEMO}/docs_1.jsonl.zst]}}
steps:
  - keep: {{token_count: {{min: 300}}}}
  - dedup: {{exact: {{}}}}
tokens: {{tokenizer: {TOKENIZER}, eos: "<|endoftext|>"}}
output: {{path: out, shard_size: 100KB, split: {{train: 0.9, test: 0.1}}, signals: [token_count]}}
"""


def mill(folder: Path, *extra: str) -> Path:
    page = folder.parent / "recipe.yaml"
    page.write_text(RECIPE)
    job, settings = prepare(str(page), [f'output.path="{folder}"', *extra])
    run(job, settings.run, LocalEngine(), Silent(), False)
    return folder


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """The run with texts."""
    return mill(tmp_path_factory.mktemp("text") / "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(format, pack) -> the run's folder, made once."""
    there: dict[tuple[str, str], Path] = {}

    def make(kind: str, pack: str) -> Path:
        if (kind, pack) not in there:
            extra = [f"output.format={kind}", f"output.pack={json.dumps(PACKS[pack])}"]
            there[kind, pack] = mill(tmp_path_factory.mktemp(f"{kind}-{pack}") / "out", *extra)
        return there[kind, pack]

    return make


@pytest.fixture(scope="module")
def expected(text) -> dict[str, dict[str, list[list[list[int]]]]]:
    """pack -> split -> shards -> sequences, worked out in plain Python with the library itself."""
    import tokenizers

    library = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    library.encode_special_tokens = True
    shards: dict[str, list[list[list[int]]]] = {"train": [], "test": []}
    for split, found in shards.items():
        for file in sorted((text / split).iterdir()):
            rows = [row["text"] for table in read_part(str(file), "jsonl.zst") for row in table.to_pylist()]
            found.append([[*library.encode(each, add_special_tokens=False).ids, 0] for each in rows])
    ways = {"documents": lambda docs: docs, "concatenate": concatenated, "best_fit": best_fitted}
    return {
        pack: {split: [way(docs) for docs in found] for split, found in shards.items()} for pack, way in ways.items()
    }


def concatenated(docs: list[list[int]]) -> list[list[int]]:
    stream = [token for doc in docs for token in doc]
    return [stream[at : at + LENGTH] for at in range(0, len(stream) - LENGTH + 1, LENGTH)]


def best_fitted(docs: list[list[int]]) -> list[list[int]]:
    """Best-fit decreasing over lists: pieces longest first, each where it leaves the least room, the bin touched last first."""
    pieces = [doc[at : at + LENGTH] for doc in docs for at in range(0, len(doc), LENGTH)]
    bins: list[list[int]] = []
    touched: list[int] = []
    for number in sorted(range(len(pieces)), key=lambda n: (-len(pieces[n]), n)):
        size = len(pieces[number])
        room = {b: LENGTH - sum(len(pieces[n]) for n in bins[b]) for b in range(len(bins))}
        fitting = [b for b in room if room[b] >= size]
        best = min(fitting, key=lambda b: (room[b], -touched.index(b)), default=len(bins))
        if best == len(bins):
            bins.append([])
        bins[best].append(number)
        touched = [b for b in touched if b != best] + [best]
    sequences = [[token for n in sorted(one) for token in pieces[n]] for one in sorted(bins, key=min)]
    return [ids + [1] * (LENGTH - len(ids)) for ids in sequences]


# -- token for token -------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("kind", PLAIN)
def test_every_format_holds_the_documents(made, expected, kind, pack):
    folder = made(kind, pack)
    for split, shards in expected[pack].items():
        found = PLAIN[kind](folder / split)
        wanted = [ids for shard in shards for ids in shard]
        if kind == "nanotron" and pack != "documents":  # its index tells of documents, not of sequences
            assert [t for ids in found for t in ids] == [t for ids in wanted for t in ids]
        else:
            assert found == wanted
    assert len(expected[pack]["train"]) > 3


@pytest.mark.parametrize("pack", PACKS)
def test_mosaicml_streaming_reads_mds(made, expected, pack):
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed (it needs torch)")
    for split, shards in expected[pack].items():
        found = streaming.StreamingDataset(local=str(made("mds", pack) / split), shuffle=False, batch_size=1)
        assert [row["tokens"].tolist() for row in found] == [ids for shard in shards for ids in shard]
        if pack != "documents":
            assert [row["lengths"].tolist() for row in found] == [lengths(ids) for shard in shards for ids in shard]


@pytest.mark.parametrize("pack", PACKS)
def test_litdata_reads_its_chunks(made, expected, pack):
    library = pytest.importorskip("litdata", reason="litdata is not installed (it needs torch)")
    block = LENGTH if pack != "documents" else 100
    for split, shards in expected[pack].items():
        loader = library.TokensLoader(block_size=block)
        found = library.StreamingDataset(
            str(made("litdata", pack) / split), item_loader=loader, shuffle=False, drop_last=False
        )
        streams = [[token for ids in shard for token in ids] for shard in shards]
        wanted = [stream[at : at + block] for stream in streams for at in range(0, len(stream) - block + 1, block)]
        assert [row.tolist() for row in found] == wanted


@pytest.mark.parametrize("pack", PACKS)
def test_megatron_reads_its_index(made, expected, pack):
    pytest.importorskip("megatron.core", reason="megatron-core is not installed (it needs torch)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core.datasets.indexed_dataset import IndexedDataset
    for split, shards in expected[pack].items():
        for number, shard in enumerate(shards):
            found = IndexedDataset(str(made("megatron", pack) / split / f"part-{number:05d}"))
            assert [ids.tolist() for ids in found] == shard
            assert found.document_indices.tolist() == list(range(len(shard) + 1))


@pytest.mark.parametrize("pack", PACKS)
def test_datatrove_reads_ds(made, expected, pack):
    """The reader that nanotron uses."""
    pytest.importorskip("torch", reason="torch is not installed")
    from datatrove.utils.dataset import DatatroveFileDataset

    for split, shards in expected[pack].items():
        for number, shard in enumerate(shards):
            stream = [token for ids in shard for token in ids]
            found = DatatroveFileDataset(
                str(made("nanotron", pack) / split / f"part-{number:05d}.ds"),
                LENGTH - 1,
                token_size=2,
                return_positions=True,
            )
            rows = [found[n] for n in range(len(found))]
            assert [row["input_ids"].tolist() for row in rows] == [
                stream[at : at + LENGTH] for at in range(0, len(stream) - LENGTH + 1, LENGTH)
            ]
            for row in rows:  # positions begin anew behind each end token
                after = [n + 1 for n, token in enumerate(row["input_ids"].tolist()[:-1]) if token == 0]
                assert all(row["positions"][n] == 0 for n in after)


@pytest.mark.parametrize("pack", ["documents", "best_fit"])
def test_datasets_loads_parquet(made, expected, tmp_path, pack):
    import datasets

    found = datasets.load_dataset(str(made("parquet-tokens", pack)), cache_dir=str(tmp_path))
    for split, shards in expected[pack].items():
        assert list(found[split]["input_ids"]) == [ids for shard in shards for ids in shard]
        if pack == "best_fit":
            assert list(found[split]["lengths"]) == [lengths(ids) for shard in shards for ids in shard]


def lengths(ids: list[int]) -> list[int]:
    """Tokens of each document in a packed sequence: each ends in the mark 0, padding (1) stands at the end."""
    while ids[-1] == 1:
        ids = ids[:-1]
    sizes = [0]
    for token in ids:
        sizes[-1] += 1
        if token == 0:
            sizes.append(0)
    return [size for size in sizes if size]


# -- what is told of it ----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "pack"), [("mds", "documents"), ("litdata", "best_fit"), ("megatron", "concatenate")])
def test_check_proves_a_corpus_of_tokens(made, kind, pack):
    findings = check(str(made(kind, pack)))
    assert len(findings) >= 5 and [finding.wrong for finding in findings if not finding.ok] == []


def test_check_finds_a_changed_token(made, tmp_path):
    import shutil

    shutil.copytree(made("megatron", "documents"), tmp_path / "out")
    part = tmp_path / "out" / "train" / "part-00000.bin"
    part.write_bytes(part.read_bytes()[:-2] + b"\1\0")
    assert [finding.what for finding in check(str(tmp_path / "out")) if finding.wrong] == [
        "every file has the bytes and the sha256 of the manifest"
    ]


def test_manifest_and_card_count_tokens(text, made, expected):
    counted = {
        split: sum(len(ids) - 1 for shard in shards for ids in shard) for split, shards in expected["documents"].items()
    }
    assert manifest(text)["tokens"]["splits"] == {split: {"tokens": n} for split, n in counted.items()}
    told = manifest(made("mds", "best_fit"))["tokens"]
    assert {split: found["tokens"] for split, found in told["splits"].items()} == counted
    train = [ids for shard in expected["best_fit"]["train"] for ids in shard]
    padding = sum(len(ids) - sum(lengths(ids)) for ids in train)
    assert (told["splits"]["train"]["sequences"], told["splits"]["train"]["padding"]) == (len(train), padding)
    assert told["splits"]["train"]["padding_share"] == pytest.approx(padding / len(train) / LENGTH, abs=1e-6)
    assert f"{counted['train']:,}" in (made("mds", "best_fit") / "README.md").read_text()
    dropped = manifest(made("mds", "concatenate"))["tokens"]["splits"]["train"]["dropped"]
    kept = sum(len(ids) for shard in expected["concatenate"]["train"] for ids in shard)
    assert dropped == sum(len(ids) for shard in expected["documents"]["train"] for ids in shard) - kept > 0


def test_documents_are_told_and_explained(made, text):
    told = manifest(made("mds", "best_fit"))
    paths = [f["path"] for f in told["files"] if f["path"].startswith("documents/train/")]
    about = pa.concat_tables([pq.read_table(made("mds", "best_fit") / path) for path in paths])
    assert len(about) == told["splits"]["train"] and "text" not in about.schema.names
    assert about["tokens"].to_pylist() == [row["token_count"] for row in about["signals"].to_pylist()]
    assert [sum(run["length"] for run in runs) - 1 for runs in about["runs"].to_pylist()] == about["tokens"].to_pylist()
    life = explain(str(made("mds", "best_fit")), about["id"][0].as_py())
    assert f"kept     in {paths[0]}" in life and "token_count" in life


def test_texts_are_the_same_with_tokens_or_without(made, text):
    """A tokenizer in the recipe decides about no document beyond its rules, and rejects say the count."""
    told, other = manifest(made("parquet-tokens", "documents")), manifest(text)
    assert (told["account"], told["splits"], told["rejected"]) == (other["account"], other["splits"], other["rejected"])
    assert other["rejected"]["01.keep.token_count"]["token_count.min"] > 1


# -- the same bytes, exactly once ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pack"), [("parquet-tokens", "concatenate"), ("litdata", "best_fit"), ("mds", "documents")]
)
def test_batches_and_tasks_change_no_byte(made, tmp_path, monkeypatch, kind, pack):
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    monkeypatch.setattr("filters.tokenizer_files.BATCH_CHARS", 5000)
    monkeypatch.setattr("pipeline.tokenized.publish.ROWS", 7)
    mill(tmp_path / "out", f"output.format={kind}", f"output.pack={json.dumps(PACKS[pack])}", "run.batch_size=13")
    folders = ("train", "test", "documents")
    mine, first = sums(tmp_path / "out"), sums(made(kind, pack))
    assert {p: s for p, s in mine.items() if p.split("/")[0] in folders} == {
        p: s for p, s in first.items() if p.split("/")[0] in folders
    }


def test_a_run_that_broke_goes_on(made, tmp_path, monkeypatch):
    """The third shard fails; the same command again finishes, and what was done is not done again."""
    from pipeline.errors import RunError
    from pipeline.tokenized import formats

    undisturbed = sums(made("litdata", "best_fit"))
    real, calls = formats.WRITERS["litdata"], []

    def breaking(attempt, base, *rest):
        calls.append(base)
        if len(calls) == 3:
            raise OSError("no space left")
        return real(attempt, base, *rest)

    monkeypatch.setitem(formats.WRITERS, "litdata", breaking)
    extra = ["output.format=litdata", f"output.pack={json.dumps(PACKS['best_fit'])}", "run.attempts=1"]
    with pytest.raises(RunError, match="no space left"):
        mill(tmp_path / "out", *extra)
    done = len(calls)
    calls += ["later"] * 4
    mill(tmp_path / "out", *extra)
    assert sums(tmp_path / "out") == undisturbed
    first, again = calls[: done - 1], calls[done + 4 :]
    assert len(first) == 2 and again[0] == calls[done - 1]
    assert not set(first) & set(again), "what was done is not done again"


@pytest.mark.ray
def test_ray_writes_the_same_bytes(made, tmp_path):
    page = tmp_path / "recipe.yaml"
    page.write_text(RECIPE)
    pack = f"output.pack={json.dumps(PACKS['best_fit'])}"
    done = gristmill(
        "run", str(page), "--output", str(tmp_path / "out"), "--set", "output.format=mds", "--set", pack, "-q"
    )
    assert done.returncode == 0, done.stderr
    assert sums(tmp_path / "out") == sums(made("mds", "best_fit"))
