"""Arrow IPC files and streams, and folders of the `datasets` library."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from reading import account, load, quarantined, rows

from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.readers import Columns, format_of

RECORDS = [{"text": f"Text {i} 中文", "id": f"d{i}", "n": i, "nested": {"a": [i]}} for i in range(5000)]


def write(path: Path, layout: str, rows_a_batch: int = 700, **options: Any) -> Path:
    table = pa.Table.from_pylist(RECORDS)
    make = pa.ipc.new_file if layout == "file" else pa.ipc.new_stream
    with make(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows_a_batch)
    return path


@pytest.mark.parametrize("layout", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_both_layouts(layout: str, compression: str | None, tmp_path: Path) -> None:
    batches = load(write(tmp_path / "x.arrow", layout, compression=compression))
    account(batches)
    found = rows(batches)
    assert [(row["id"], row["text"], row["_record"]) for row in found] == [
        (record["id"], record["text"], i) for i, record in enumerate(RECORDS)
    ]
    assert json.loads(found[7]["metadata"]) == {"n": 7, "nested": {"a": [7]}}
    assert max(len(batch.table) for batch in batches) == 1000
    assert rows(load(tmp_path / "x.arrow", batch_rows=33)) == found


@pytest.mark.parametrize("layout", ["file", "stream"])
def test_a_cut_file_gives_the_batches_before(layout: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.arrow", layout)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    batches = load(path)
    account(batches)
    count = len(rows(batches))
    assert count and count % 700 == 0 and [row["id"] for row in rows(batches)] == [f"d{i}" for i in range(count)]
    (entry,) = quarantined(batches)
    assert entry["tail"] and f"from record batch {count // 700} on" in entry["error"]


def test_damage_anywhere_crashes_nothing(tmp_path: Path) -> None:
    """Bytes overwritten all over the file: a letter, or an account that closes; in a process of its own, which lives."""
    write(tmp_path / "x.arrow", "file")
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(tmp_path / "x.arrow")], capture_output=True, text=True, env=ENV
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20


ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])}
DAMAGE = """
import random, sys
from pathlib import Path
from reading import account, load, quarantined
from pipeline.errors import InputError
path = Path(sys.argv[1])
whole, random_, hurt = path.read_bytes(), random.Random(5), 0
for _ in range(60):
    data = bytearray(whole)
    for _ in range(20):
        at = random_.randrange(len(data))
        data[at : at + 8] = random_.randbytes(8)
    path.write_bytes(data)
    try:
        batches = load(path)
    except InputError:
        hurt += 1
        continue
    account(batches, gaps=True)
    hurt += bool(quarantined(batches))
print(hurt)
"""


def test_text_that_is_not_utf8_costs_its_row(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(),
        3,
        [None, pa.py_buffer(b"".join(i.to_bytes(4, "little") for i in (0, 2, 4, 6))), pa.py_buffer(b"ok\xff\xfeok")],
    )
    table = pa.table({"text": bad, "n": [1, 2, 3]})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    batches = load(tmp_path / "x.arrow")
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["ok", "ok"] and quarantined(batches)[0]["record"] == 1


def test_files_that_are_no_source(tmp_path: Path) -> None:
    write(tmp_path / "x.arrow", "file")
    with pytest.raises(InputError, match=r"no column 'txt', did you mean 'text'"):
        load(tmp_path / "x.arrow", columns=Columns(text="txt"))
    with pytest.raises(InputError, match="holds int64, expected text"):
        load(tmp_path / "x.arrow", columns=Columns(text="n"))
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(InputError, match="Feather V1"):
        load(tmp_path / "old.feather")
    (tmp_path / "none.arrow").write_bytes(b"no arrow at all, just some text of a few words")
    with pytest.raises(InputError, match="not a readable Arrow file"):
        load(tmp_path / "none.arrow")
    (tmp_path / "empty.arrow").write_bytes(b"")
    assert load(tmp_path / "empty.arrow") == []


# ---- folders


def known(path: str) -> bool:
    return format_of(path) is not None


def names(folder: Path) -> list[str]:
    return [os.path.relpath(info.path, folder) for info in expand([str(folder)], known)]


def test_a_folder_saved_by_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(RECORDS[:100])
    datasets.DatasetDict(train=data, test=data.select(range(10))).save_to_disk(tmp_path / "saved")
    found = names(tmp_path / "saved")
    assert found == ["test/data-00000-of-00001.arrow", "train/data-00000-of-00001.arrow"]
    assert [row["id"] for row in rows(load(tmp_path / "saved" / found[1]))] == [f"d{i}" for i in range(100)]
    data.map(lambda record: {"m": 1}, cache_file_name=str(tmp_path / "saved/train/cache-1.arrow"))
    assert names(tmp_path / "saved") == found  # what a later map left there is no part of the set


def test_a_folder_as_the_hub_has_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pa.parquet.write_table(pa.Table.from_pylist(RECORDS[:5]), tmp_path / "data/train-00000-of-00001.parquet")
    for name in ("README.md", "dataset_infos.json", "LICENSE.txt"):
        (tmp_path / name).write_text("{}")
    assert names(tmp_path) == ["data/train-00000-of-00001.parquet"]
    (info,) = expand([str(tmp_path / "*.md")], known)  # by name it can be had
    assert info.path.endswith("README.md")


def test_a_folder_of_pages_keeps_its_readme(tmp_path: Path) -> None:
    for name in ("README.md", "guide.md"):
        (tmp_path / name).write_text("# words")
    assert names(tmp_path) == ["README.md", "guide.md"]


class FakeHub:
    """A Hub of one data set, with the calls of `HfFileSystem` that are used."""

    files = {"datasets/me/set/README.md": b"# me", "datasets/me/set/data/a.jsonl": b'{"text": "from the hub"}\n'}  # noqa: RUF012

    def info(self, path: str) -> dict[str, Any]:
        if path in self.files:
            return {"name": path, "type": "file", "size": len(self.files[path]), "blob_id": "b1"}
        if any(name.startswith(path.rstrip("/") + "/") for name in self.files):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def find(self, path: str, detail: bool) -> dict[str, Any]:
        assert detail
        return {name: self.info(name) for name in self.files if name.startswith(path + "/")}

    def open(self, path: str, mode: str) -> Any:
        assert mode == "rb"
        return io.BytesIO(self.files[path])


def test_a_set_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.files.hub._filesystem", FakeHub)
    for pattern in ("hf://datasets/me/set", "hf://datasets/me/set/data/*.jsonl", "hf://datasets/me/set/data/a.jsonl"):
        (info,) = expand([pattern], known)
        assert (info.path, info.size, info.version) == ("hf://datasets/me/set/data/a.jsonl", 25, "b1")
        assert [row["text"] for row in rows(load(info.path))] == ["from the hub"]
    with pytest.raises(InputError, match="no such file or folder"):
        expand(["hf://datasets/me/other"], known)
    with pytest.raises(InputError, match=r"no file matches, did you mean 'hf://datasets/me/set/data/a.jsonl'"):
        expand(["hf://datasets/me/set/data/b.json*"], known)
    with pytest.raises(InputError, match=r"not on the Hub.*Expected hf://datasets/OWNER/NAME"):
        storage.stat("hf://datasets/me/none.jsonl")


def test_without_the_library_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        expand(["hf://datasets/me/set"], known)
