"""`.warc.zst` as archives write it: a frame a record, and their dictionary in a skippable frame at the start."""

from __future__ import annotations

import base64
import itertools
import random
import struct
from pathlib import Path

import pytest
import zstandard
from reading import account, load, quarantined, rows
from test_dirty_warc import response

PAGES = [response(i, b"<p>page %d of a site, its address %d</p>" % (i, i * 7919) * (i % 5 + 1)) for i in range(400)]
DICTIONARY = zstandard.train_dictionary(4096, PAGES)


def archive(compressed: bool, frame: bytes | None = None) -> bytes:
    held = DICTIONARY.as_bytes()
    held = zstandard.compress(held) if compressed else held
    pack = zstandard.ZstdCompressor(dict_data=DICTIONARY)
    first = struct.pack("<II", 0x184D2A5D, len(held)) + held if frame is None else frame
    return first + b"".join(pack.compress(page) for page in PAGES)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_pages_behind_their_dictionary(compressed: bool, count: int, tmp_path: Path) -> None:
    path = tmp_path / "x.warc.zst"
    path.write_bytes(archive(compressed))
    size = path.stat().st_size
    assert size < sum(map(len, PAGES)) / 3
    edges = itertools.pairwise(size * i // count for i in range(count + 1))
    parts = [load(path, part=part) for part in edges] if count > 1 else [load(path)]
    for batches in parts:
        account(batches)
        assert not quarantined(batches)
    assert sum(bool(rows(batches)) for batches in parts) >= min(count, 5)
    assert [row["id"] for batches in parts for row in rows(batches)] == [str(i) for i in range(400)]


def test_a_broken_page_costs_itself(tmp_path: Path) -> None:
    data = bytearray(archive(True))
    place = data.index(b"\x28\xb5\x2f\xfd", len(data) // 2)
    data[place + 4 : place + 12] = bytes(8)
    (tmp_path / "x.warc.zst").write_bytes(data)
    batches = load(tmp_path / "x.warc.zst")
    account(batches)
    (entry,) = quarantined(batches)
    assert entry["offset"] == place and len(rows(batches)) == 399


def test_pages_that_hardly_pack(tmp_path: Path) -> None:
    """A block gives nothing before it is whole, and it has up to 128 KB."""
    chance = random.Random(1)
    pages = [response(i, b"<p>" + base64.b64encode(chance.randbytes(9_000 * (i + 1)))) for i in range(12)]
    pack = zstandard.ZstdCompressor(dict_data=DICTIONARY, write_checksum=True)
    frames = [bytearray(pack.compress(page)) for page in pages]
    held = DICTIONARY.as_bytes()
    path = tmp_path / "x.warc.zst"
    path.write_bytes(struct.pack("<II", 0x184D2A5D, len(held)) + held + b"".join(frames))
    edges = itertools.pairwise(path.stat().st_size * i // 4 for i in range(5))
    parts = [[row["id"] for row in rows(load(path, part=part))] for part in edges]
    assert [*itertools.chain(*parts)] == [str(i) for i in range(12)] and all(parts)
    for damaged in (2, 7, 10):
        frames[damaged][4:12] = bytes(8)
    path.write_bytes(struct.pack("<II", 0x184D2A5D, len(held)) + held + b"".join(frames))
    batches = load(path)
    assert len(quarantined(batches)) == 3
    assert [row["id"] for row in rows(batches)] == [str(i) for i in range(12) if i not in (2, 7, 10)]


@pytest.mark.parametrize(
    ("frame", "letter"),
    [
        (struct.pack("<II", 0x184D2A5D, 9) + b"\x28\xb5\x2f\xfdwrong", "the dictionary at the start of the file"),
        (struct.pack("<II", 0x184D2A5D, 1 << 31) + b"short", "the dictionary at the start of the file"),
        (b"", "ictionary"),
    ],
)
def test_without_its_dictionary_a_file_is_one_entry(frame: bytes, letter: str, tmp_path: Path) -> None:
    (tmp_path / "x.warc.zst").write_bytes(archive(False, frame))
    batches = load(tmp_path / "x.warc.zst")
    (entry,) = quarantined(batches)
    assert letter in entry["error"] and not rows(batches)


def test_lines_and_parts_of_lines(tmp_path: Path) -> None:
    lines = [b'{"id": "%d", "text": "a line of text, number %d"}\n' % (i, i) for i in range(3000)]
    dictionary = zstandard.train_dictionary(2048, lines)
    pack = zstandard.ZstdCompressor(dict_data=dictionary)
    data = b"".join(lines)
    frames = [pack.compress(data[i : i + 777]) for i in range(0, len(data), 777)]
    first = struct.pack("<II", 0x184D2A5D, len(dictionary.as_bytes())) + dictionary.as_bytes()
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(first + b"".join(frames))
    size = path.stat().st_size
    found = [row["id"] for i in range(4) for row in rows(load(path, part=(size * i // 4, size * (i + 1) // 4)))]
    assert found == [row["id"] for row in rows(load(path))] == [str(i) for i in range(3000)]
