"""Tar and zip archives: members by their formats, WebDataset samples, damage."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from reading import account, load, quarantined, rows, skipped

from pipeline.errors import InputError

MEMBERS: dict[str, bytes] = {
    "a/one.txt": b"text one",
    "a/two.jsonl.gz": gzip.compress(b'{"text": "two"}\n{"text": "three", "id": "3"}\n'),
    "a/page.html": b"<p>four</p>",
    "a/pic.png": b"\x89PNG" + bytes(3000),
    "a/list.json": b'[{"text": "five"}, {"no": 1}]',
    "a/guide.md": b"---\ntitle: T\n---\nsix",
    "a/t.csv": b"id,text\n7,seven\n",
    "a/README": b"no ending",
    "a/inner.tar": bytes(10240),
    "long/" + "n" * 150 + ".txt": "acht 八".encode(),
}
FOUND = ["text one", "two", "three", None, "five", "six", "seven", "acht 八"]


def tar(path: Path, members: dict[str, bytes], mode: str = "w", format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=format) as out:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", ["pax.tar", "gnu.tar", "x.tar.gz", "x.tgz", "x.zip"])
def test_members_by_their_formats(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "x.zip":
        zipped(path, MEMBERS)
    else:
        gnu = tarfile.GNU_FORMAT if kind == "gnu.tar" else tarfile.PAX_FORMAT
        tar(path, MEMBERS, "w:gz" if kind.endswith("gz") else "w", gnu)
    batches = load(path)
    account(batches)
    found = rows(batches)
    assert [row["text"] for row in found] == FOUND
    assert found[3]["html"] == b"<p>four</p>" and found[2]["id"] == "3"
    assert json.loads(found[0]["metadata"]) == {"file": "a/one.txt"}
    assert json.loads(found[5]["metadata"]) == {"file": "a/guide.md", "title": "T"}
    assert skipped(batches) == {"member .png": 1, "member without ending": 1, "member .tar": 1}
    (entry,) = quarantined(batches)
    assert "NoText" in entry["error"]
    assert rows(load(path, batch_rows=1)) == found


SAMPLES = {
    "0001.txt": b"first",
    "0001.json": b'{"url": "https://x.org/1", "n": 1}',
    "0001.jpg": b"\xff\xd8",
    "0002.json": b'{"id": "own", "text": "from the json"}',
    "0002.txt": b"second",
    "0003.txt": b"alone",
    "0004.json": b'{"text": "json alone"}',
    "0005.json": b"{broken",
    "0005.txt": b"fifth",
}


@pytest.mark.parametrize("kind", ["x.tar", "x.zip"])
def test_samples(kind: str, tmp_path: Path) -> None:
    batches = load((tar if kind == "x.tar" else zipped)(tmp_path / kind, SAMPLES))
    account(batches)
    found = rows(batches)
    assert [row["text"] for row in found] == ["first", "second", "alone", "json alone", "fifth"]
    assert [row["id"] for row in found[:2]] == ["0001", "own"] and found[0]["url"] == "https://x.org/1"
    assert found[0]["metadata"] == '{"n":1}'
    assert len(quarantined(batches)) == 1 and skipped(batches) == {"member .jpg": 1}


def many(count: int = 300) -> dict[str, bytes]:
    return {f"{i:04}.txt": f"text {i} ".encode() * (i % 90 + 1) for i in range(count)}


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.77])
def test_a_cut_tar_gives_what_came_before(ending: str, share: float, tmp_path: Path) -> None:
    path = tar(tmp_path / f"x.{ending}", many(), "w:gz" if ending == "tar.gz" else "w")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    batches = load(path)
    account(batches)
    found = [row["text"].encode() for row in rows(batches)]
    assert len(found) > 20 and found == list(many().values())[: len(found)]
    (entry,) = quarantined(batches)
    assert entry["tail"] is True


def test_a_tar_cut_between_members_is_noticed(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", many(10))
    plain = path.read_bytes().rstrip(b"\0")
    path.write_bytes(plain + bytes(-len(plain) % 512))
    (entry,) = quarantined(load(path))
    assert "no end mark" in entry["error"] and len(rows(load(path))) == 10
    path.write_bytes(path.read_bytes() + bytes(1024) + tar(tmp_path / "y.tar", many(3)).read_bytes())
    assert len(rows(load(path))) == 13 and not quarantined(load(path))  # one archive behind another


def test_a_damaged_header_costs_its_member(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", many(10))
    data = bytearray(path.read_bytes())
    data[data.index(b"0004.txt")] ^= 1
    path.write_bytes(data)
    batches = load(path)
    account(batches)
    assert len(rows(batches)) == 9
    (entry,) = quarantined(batches)
    assert "BrokenTar" in entry["error"] and entry["offset"] == data.index(b"1004.txt")


def test_broken_members(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {**many(3), "big.jsonl": b'{"text": "a"}\n' * 2000})
    data = bytearray(path.read_bytes())
    at = data.index(b"0001.txt") + 10
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    batches = load(path)
    account(batches)
    assert len(rows(batches)) == 2002
    assert "BrokenMember: 0001.txt" in quarantined(batches)[0]["error"]
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"not a readable zip archive.*zip -FF"):
        load(path)


def test_encrypted_members_are_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", many(2))
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)
    batches = load(path)
    account(batches)
    assert len(rows(batches)) == 1 and "EncryptedMember: 0000.txt" in quarantined(batches)[0]["error"]


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"just some words, no archive " * 100)
    batches = load(tmp_path / "x.tar")
    account(batches)
    assert rows(batches) == [] and "BrokenTar" in quarantined(batches)[0]["error"]
    (tmp_path / "e.tar").write_bytes(b"")
    assert load(tmp_path / "e.tar") == []


def test_a_packed_size_that_is_a_lie_takes_no_memory(tmp_path: Path) -> None:
    """The directory of a zip says that three bytes are two gigabytes: as much was asked of the system at once."""
    path = zipped(tmp_path / "x.zip", {"a.txt": b"text", "b.txt": b"other"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 24] = struct.pack("<I", (1 << 31) - (1 << 16))
    path.write_bytes(data)
    tracemalloc.start()
    try:
        batches = load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
    assert "other" in [row["text"] for row in rows(batches)]
    account(batches)
