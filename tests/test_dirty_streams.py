"""Cut and damaged files: what decodes is read, the rest is told, nothing cut looks complete."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from reading import account, load, quarantined, rows

from pipeline.readers.streams import TailError, chunks

# ---- cut and damaged streams

# that pack to three quarters: the blocks of a zstandard frame are as long as those of real text, or longer
LINES = [b'{"text": "%d %s"}' % (i, base64.b64encode(hashlib.sha512(b"%d" % i).digest())) for i in range(3000)]
PLAIN = b"\n".join(LINES) + b"\n"
CHECKED = zstandard.ZstdCompressor(write_checksum=True)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": lambda data: b"".join(CHECKED.compress(data[i : i + 30_000]) for i in range(0, len(data), 30_000)),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lzma.compress,
}


@pytest.mark.parametrize("share", [0.001, 0.3, 0.77, 0.9999])
@pytest.mark.parametrize("kind", PACK)
def test_a_cut_stream_is_one_tail_entry(kind: str, share: float, tmp_path: Path) -> None:
    packed = PACK[kind](PLAIN)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(packed[: max(7, int(len(packed) * share))])
    batches = load(path)
    account(batches)
    texts = [row["text"] for row in rows(batches)]
    assert texts == [json.loads(line)["text"] for line in LINES[: len(texts)]]
    (entry,) = quarantined(batches)
    assert entry["tail"] is True and "Fetch it again" in entry["error"]
    assert entry["offset"] == len(b"".join(line + b"\n" for line in LINES[: len(texts)]))
    if kind == "gz":  # what decodes is given, to the last line
        inner = zlib.decompressobj(31)
        whole = inner.decompress(path.read_bytes()).count(b"\n")
        assert len(texts) in (whole, whole + 1)


@pytest.mark.parametrize("kind", PACK)
def test_zeroed_bytes_in_a_stream(kind: str, tmp_path: Path) -> None:
    packed = bytearray(PACK[kind](PLAIN))
    packed[len(packed) // 2 : len(packed) // 2 + 16] = bytes(16)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(packed)
    batches = load(path)
    account(batches)
    assert [entry.get("tail") for entry in quarantined(batches)][-1] is (None if kind == "zst" else True)
    texts = [row["text"] for row in rows(batches)]
    if kind == "gz":
        assert len(texts) > 1000
    if kind in ("gz", "zst"):  # the first bzip2 block holds more than half of this
        assert texts[:500] == [json.loads(line)["text"] for line in LINES[:500]]


def test_a_wrong_checksum_keeps_the_lines_and_tells(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(PLAIN))
    packed[-6] ^= 1
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(packed)
    batches = load(path)
    assert len(rows(batches)) == 3000
    (entry,) = quarantined(batches)
    assert entry["tail"] and entry["record"] is None and "incorrect data check" in entry["error"]


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("cut", ["lines", "anywhere"])
def test_members_behind_a_damaged_one_are_read(kind: str, cut: str, tmp_path: Path) -> None:
    """Members that end with a line, as `cat` and chunked writers make them, or anywhere, as bgzip and pzstd do."""
    pack = gzip.compress if kind == "gz" else CHECKED.compress
    groups = [b"".join(line + b"\n" for line in LINES[i : i + 500]) for i in range(0, 3000, 500)]
    if cut == "anywhere":
        groups = [PLAIN[i : i + 30_011] for i in range(0, len(PLAIN), 30_011)]
    members = [bytearray(pack(group)) for group in groups]
    for damaged in (2, 4):
        members[damaged][len(members[damaged]) // 2 : len(members[damaged]) // 2 + 40] = bytes(40)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(b"".join(members))
    batches = load(path)
    account(batches)
    texts = {row["text"] for row in rows(batches)}
    if kind == "zst":  # deflate notices damage late: a damaged member can give wrong characters before
        assert texts <= {json.loads(line)["text"] for line in LINES} and len(texts) == len(rows(batches))
    for number, group in enumerate(groups):
        lines = group.split(b"\n")[1:-1] if cut == "anywhere" else group.splitlines()
        if number not in (2, 4):
            assert {json.loads(line)["text"] for line in lines} <= texts, "of a whole member only cut lines are lost"
    entries = quarantined(batches)
    assert sum(entry["error"].startswith("BrokenMember: ") for entry in entries) == 2
    assert not any("tail" in entry for entry in entries)
    if cut == "lines" and kind == "zst":  # offsets count the bytes that there are
        first, second = (entry["offset"] for entry in entries)
        assert second - first >= sum(map(len, groups[3:4])) and first >= sum(map(len, groups[:2]))
    assert [row["text"] for row in rows(load(path, batch_rows=1))] == [row["text"] for row in rows(batches)]


def test_rubbish_and_holes_behind_a_member(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(PLAIN) + bytes(1000) + gzip.compress(PLAIN))
    assert len(rows(load(path))) == 6000 and "1000 zero bytes" in quarantined(load(path))[0]["error"]
    for behind in (b"rubbish", bytes(1 << 20)):
        path.write_bytes(gzip.compress(PLAIN) + behind)
        batches = load(path)
        assert len(rows(batches)) == 3000
        (entry,) = quarantined(batches)
        assert entry["tail"] and entry["record"] is None and entry["offset"] == len(PLAIN)


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_comes_in_small_pieces(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes({**PACK, "zst": zstandard.compress}[kind](bytes(60 << 20)))
    with path.open("rb") as raw:
        sizes = [len(chunk) for chunk in chunks(raw)]
    assert sum(sizes) == 60 << 20
    assert max(sizes) <= (1 << 20 if kind != "zst" else 256 << 20)


def test_a_lost_connection_is_no_cut_file() -> None:
    class Lost:
        def __init__(self) -> None:
            self.first = gzip.compress(PLAIN)[:10_000]

        def read(self, size: int) -> bytes:
            if self.first:
                data, self.first = self.first, b""
                return data
            raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        list(chunks(Lost()))  # type: ignore[arg-type]


def test_chunks_tell_where_the_good_part_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(PLAIN)[:-1])
    got = b""
    with path.open("rb") as raw, pytest.raises(TailError) as caught:
        for chunk in chunks(raw):
            got += chunk
    assert got == PLAIN and caught.value.offset == len(PLAIN)


def test_real_cut_gzip(small_data: Path) -> None:
    batches = load(small_data / "dirty/cut/cut.jsonl.gz")
    account(batches)
    assert len(rows(batches)) == 30
    (entry,) = quarantined(batches)
    assert (entry["record"], entry["offset"], entry["tail"]) == (30, 165973, True)


def test_the_cut_collection(shared_data: Path) -> None:
    cut = shared_data / "dirty/cut"
    expected = {  # rows, (record, offset, tail) of the quarantined
        "concatenated_members.jsonl.gz": (16, []),
        "cut.jsonl.gz": (30, [(30, 165973, True)]),
        "cut_in_line.jsonl": (37, [(37, 199206, True)]),
        "cut_in_member.warc.gz": (18, [(19, 149067, True)]),
        "zeroed_16_bytes.warc.gz": (20, [(13, 64834, None), (22, 197084, True)]),
    }
    for name, (count, entries) in expected.items():
        batches = load(cut / name)
        account(batches)
        assert len(rows(batches)) == count, name
        assert [(e["record"], e["offset"], e.get("tail")) for e in quarantined(batches)] == entries, name
