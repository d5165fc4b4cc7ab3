"""Compressed files in parts: each record once, wherever the edges lie, and whatever stands inside a member."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reading import load, quarantined, rows
from test_dirty_warc import ARC_HEAD, arc_page, response

from pipeline.files import storage
from pipeline.readers import members, streams
from pipeline.readers.warc import begins as warc_begins

RANDOM = random.Random(7)


def noise(size: int) -> bytes:
    return RANDOM.randbytes(size)


def nested(first: int, count: int, size: int) -> bytes:
    """A crawled .warc.gz: small members that cannot be compressed again."""
    return b"".join(gzip.compress(response(first + i, noise(size)), mtime=0) for i in range(count))


def stored(data: bytes) -> bytes:
    """A member whose bytes stand in it as they are."""
    return gzip.compress(data, 0, mtime=0)


def with_extra(data: bytes, extra: bytes) -> bytes:
    """A member with an extra field in its header."""
    packed = gzip.compress(data, mtime=0)
    return packed[:3] + b"\x04" + packed[4:10] + struct.pack("<H", len(extra)) + extra + packed[10:]


def huffman(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31, 9, zlib.Z_HUFFMAN_ONLY)
    return packer.compress(data) + packer.flush()


def crawl() -> list[bytes]:
    """Members of a crawl; those inside others have numbers from 1000 on."""
    found = [gzip.compress(response(i, b"<p>page %d</p>" % i * 40), mtime=0) for i in range(30)]
    found[5] = stored(response(5, nested(1000, 200, 300)))  # small members in one stored block
    found[9] = gzip.compress(response(9, nested(2000, 8, 50_000)), mtime=0)  # cut by the edges of stored blocks
    found[14] = with_extra(response(14, b"extra"), nested(3000, 30, 300)[:65_535])
    found[20] = stored(response(20, stored(response(4000, nested(4001, 60, 100)))))
    found[21] = huffman(response(21, nested(5000, 60, 100)))
    found[25] = stored(response(25, b"\x1f\x8b\x08" * 3000))
    return found


def edges_of(size: int, count: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise(size * i // count for i in range(count + 1)))


def told(path: Path, part: tuple[int, int] | None = None) -> list[str]:
    batches = load(path, part=part)
    assert not quarantined(batches)
    return [row["id"] or row["url"] for row in rows(batches)]


@pytest.fixture(scope="module")
def crawl_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    path = tmp_path_factory.mktemp("crawl") / "x.warc.gz"
    found = crawl()
    path.write_bytes(b"".join(found))
    return path, list(itertools.accumulate(map(len, found), initial=0))


def test_members_inside_members_are_no_starts(crawl_file: tuple[Path, list[int]]) -> None:
    """From every 5,000th byte, and from the first byte of each member: only true members are found."""
    path, true = crawl_file
    with path.open("rb") as stream:
        found = {
            members.find(stream, "gz", at, None, lambda head: head.startswith(b"WARC/"))
            for at in [*true, *range(0, true[-1], 5000)]
        } - {None}
    assert found <= set(true) and len(found) > 10


def test_most_members_are_seen_at_once(tmp_path: Path) -> None:
    """In a crawl of random bytes a pair of them reaches over a place by chance in four cases of ten."""
    found = [gzip.compress(response(i, noise(3000)), mtime=0) for i in range(1000)]
    true = list(itertools.accumulate(map(len, found), initial=0))[:-1]
    stream = io.BytesIO(b"".join(found))
    next_ones = [members.find(stream, "gz", at, None, lambda head: head.startswith(b"WARC/")) for at in true[50:900:17]]
    assert 0.3 < sum(map(true[50:900:17].__contains__, next_ones)) / len(next_ones) < 0.9
    assert set(next_ones) <= set(true)


@pytest.mark.parametrize("count", [2, 3, 7, 31, 100])
def test_the_parts_of_a_crawl_are_its_records(count: int, crawl_file: tuple[Path, list[int]]) -> None:
    path, _ = crawl_file
    whole = told(path)
    assert whole == [str(i) for i in range(30)]
    parts = [told(path, part) for part in edges_of(path.stat().st_size, count)]
    assert list(itertools.chain(*parts)) == whole
    assert sum(map(bool, parts)) > 1


def test_without_the_look_at_stored_blocks_they_would_not_be(
    crawl_file: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round: these files are a trap, and where a part begins wrongly the one before says so."""
    path, _ = crawl_file
    monkeypatch.setattr(members.Covered, "holds", lambda self, place: False)
    batches = [load(path, part=part) for part in edges_of(path.stat().st_size, 31)]
    assert any(int(row["id"]) >= 1000 for each in batches for row in rows(each))
    assert any("BrokenMember" in entry["error"] for each in batches for entry in quarantined(each))


def slow_holds(data: bytes, place: int) -> bool:
    def word(at: int) -> int:
        return int.from_bytes((data + bytes(20))[at : at + 2], "little")

    for at in range(place):
        block = at + 4 <= place and word(at) ^ word(at + 2) == 0xFFFF and at + 4 + word(at) > place
        header = data[at : at + 3] == b"\x1f\x8b\x08" and word(at + 3) & 4
        if block or (header and at + 12 + word(at + 10) > place):
            return True
    return False


PIECES = [b"\x05\0\xfa\xff", b"\x1f\x8b\x08", b"\x04\0\0\0\0\0\0\x03", b"\x09\0", b"\0", b"\xff"]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12).map(b"".join), st.integers(0, 60))
@example(b"\x00\x00\xff\xff", 4)
@example(b"\x01\x00\xfe\xff", 4)
def test_what_a_block_or_field_could_hold(data: bytes, place: int) -> None:
    place = min(place, len(data))
    assert members.Covered(data).holds(place) == slow_holds(data, place)


@pytest.mark.parametrize("reach", [0, 30_000, 65_534])
def test_a_stored_block_reaches_64_kb(reach: int) -> None:
    """To the last byte of the longest block, and not a byte further."""
    block = b"\0\xff\xff\0\0" + b"a" * 65_535
    assert zlib.decompressobj(-15).decompress(block) == b"a" * 65_535
    covered = members.Covered(b"b" * 100_000 + block + b"c" * 10)
    assert covered.holds(100_005 + reach)
    assert not covered.holds(100_005 + 65_535)


def test_a_bomb_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left behind after so many bytes; the next member begins the part."""
    bomb, page = (gzip.compress(response(i, bytes(size)), mtime=0) for i, size in ((0, 20 << 20), (1, 9)))
    stream = io.BytesIO(bomb + page + page)
    assert members.find(stream, "gz", 0, None, warc_begins) == 0
    monkeypatch.setattr(members, "BOMB_BYTES", 10 << 20)
    assert members.find(stream, "gz", 0, None, warc_begins) == len(bomb)


def test_arc_files_and_wet_files(tmp_path: Path) -> None:
    pages = [arc_page(i, nested(100, 40, 200) if i == 4 else b"<p>%d</p>" % i * 30) for i in range(20)]
    (tmp_path / "x.arc.gz").write_bytes(b"".join(stored(page) for page in [ARC_HEAD, *pages]))
    size = (tmp_path / "x.arc.gz").stat().st_size
    urls = [row["url"] for row in rows(load(tmp_path / "x.arc.gz"))]
    parts = [
        [row["url"] for row in rows(load(tmp_path / "x.arc.gz", part=part, format="arc"))] for part in edges_of(size, 9)
    ]
    assert len(urls) == 20 and list(itertools.chain(*parts)) == urls and sum(map(bool, parts)) > 1


def test_offsets_and_damage(tmp_path: Path) -> None:
    """A damaged member costs itself, in the parts as in the whole; offsets are those of the file."""
    found = [gzip.compress(response(i, noise(2000)), mtime=0) for i in range(40)]
    for number in (11, 26):
        found[number] = found[number][:900] + bytes(200) + found[number][1100:]
    path = tmp_path / "x.warc.gz"
    path.write_bytes(b"".join(found))
    whole = [(e["offset"], e["error"]) for e in quarantined(load(path))]
    batches = [load(path, part=part) for part in edges_of(path.stat().st_size, 8)]
    assert [int(row["id"]) for each in batches for row in rows(each)] == [i for i in range(40) if i not in (11, 26)]
    assert [(e["offset"], e["error"]) for each in batches for e in quarantined(each)] == whole and len(whole) == 2


def test_a_crawl_on_s3(crawl_file: tuple[Path, list[int]], s3_bucket: str) -> None:
    path, true = crawl_file
    storage.write_bytes(f"{s3_bucket}/x.warc.gz", path.read_bytes())
    parts = [[row["id"] for row in rows(load(f"{s3_bucket}/x.warc.gz", part=part))] for part in edges_of(true[-1], 3)]
    assert list(itertools.chain(*parts)) == told(path) and sum(map(bool, parts)) > 1


# ---- lines


def packed(data: bytes, cuts: list[int], kind: str, level: int) -> bytes:
    chunks = [data[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(data)])]
    if kind == "gz":
        return b"".join(gzip.compress(chunk, level, mtime=0) for chunk in chunks)
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"size"
    pack = zstandard.ZstdCompressor(level=max(level, 1), write_checksum=bool(level), write_content_size=bool(level % 2))
    return b"".join(
        (skippable if number % 3 == 1 else b"") + pack.compress(chunk) for number, chunk in enumerate(chunks)
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", b"line", b"x" * 40, gzip.compress(b"in\n" * 9)]), max_size=25), st.data())
@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_the_lines_of_members_that_end_anywhere(kind: str, lines: list[bytes], data: Any) -> None:
    whole = b"\n".join(lines)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    raw = packed(whole, cuts, kind, data.draw(st.integers(0, 2)))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6))), len(raw)]
    found = []
    for part in itertools.pairwise(edges):
        part_lines = members.lines(io.BytesIO(raw), kind, part) if part[0] < part[1] else None
        found.append(b"".join(iter(part_lines.read, b"")) if part_lines else b"")
    assert b"".join(found) == whole
    position = 0
    for piece in found:  # a part begins where a line does
        assert not piece or position == 0 or whole[position - 1 : position] == b"\n"
        position += len(piece)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_jsonl_in_many_members(kind: str, tmp_path: Path) -> None:
    records = [{"id": f"d{i}", "text": f"Text {i} " * 50} for i in range(2000)]
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(packed(data, list(range(5000, len(data), 5000)), kind, 3))
    parts = [told(path, part) for part in edges_of(path.stat().st_size, 6)]
    assert list(itertools.chain(*parts)) == [record["id"] for record in records] and all(parts)


def test_damage_costs_the_rest_of_a_part(tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(i), "text": noise(40).hex()}).encode() + b"\n" for i in range(3000)]
    found = [gzip.compress(b"".join(lines[i : i + 50]), mtime=0) for i in range(0, 3000, 50)]
    found[10] = found[10][:-1] + bytes([found[10][-1] ^ 1])
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(b"".join(found))
    batches = [load(path, part=part) for part in edges_of(path.stat().st_size, 4)]
    ids = [int(row["id"]) for each in batches for row in rows(each)]
    (entry,) = [e for each in batches for e in quarantined(each)]
    assert entry["tail"] and "incorrect length" in entry["error"]
    assert ids == sorted(set(ids)) and set(range(1000, 3000)) < set(ids) and 500 in ids


@pytest.mark.parametrize("many", [3, 300])
def test_lines_before_damage_are_read(many: int, tmp_path: Path) -> None:
    """However few they are: they are not lost to a look ahead."""
    path = tmp_path / "x.jsonl.gz"
    good = b"".join(b'{"id": "%d", "text": "a text"}\n' % i for i in range(many))
    path.write_bytes(gzip.compress(good) + b"\x1f\x8b\x08" + bytes(99))
    batches = load(path, part=(0, 1 << 28))
    assert [row["id"] for row in rows(batches)] == [str(i) for i in range(many)]
    (entry,) = quarantined(batches)
    assert entry["tail"] and entry["offset"] == len(good)


def test_bytes_are_counted_inside_a_member(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"text": "%s"}\n' % noise(3000).hex().encode() for _ in range(500)), 1))
    batches = load(path, part=(0, 1 << 28), batch_rows=50)
    taken, size = [batch.consumed for batch in batches], path.stat().st_size
    assert 0 < taken[0] < size // 2 and taken == sorted(taken) and taken[-1] == size


def test_parts_that_disagree_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b'{"id": "a", "text": "b"}\n' * 20
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(
        stored(b"".join(gzip.compress(lines, mtime=0) for _ in range(100))) + gzip.compress(lines, mtime=0)
    )
    monkeypatch.setattr(members.Covered, "holds", lambda self, place: False)
    entries = [e for part in edges_of(path.stat().st_size, 3) for e in quarantined(load(path, part=part))]
    assert any("no member begins where the next part" in entry["error"] for entry in entries)


def test_utf16_is_read_whole(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"d{i}", "text": "ĊਊĊ"}, ensure_ascii=False) + "\n" for i in range(400)]
    data = "".join(lines).encode("utf-16")
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(packed(data, list(range(1000, len(data), 1000)), "gz", 6))
    parts = [told(path, part) for part in edges_of(path.stat().st_size, 4)]
    assert parts == [[f"d{i}" for i in range(400)], [], [], []]


# ---- zstandard


def frames_by_decoding(raw: bytes) -> Iterator[int]:
    """Where the frames begin, by decoding them."""
    return (piece.member for piece in streams.pieces(io.BytesIO(raw)) if piece.ended)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 9, 255, 256, 70_000, 300_000]), max_size=5), st.integers(1, 6), st.booleans())
def test_frames_are_found_by_their_blocks(sizes: list[int], level: int, random_bytes: bool) -> None:
    texts = [noise(size) if random_bytes else b"ab" * (size // 2) for size in sizes]
    raw = b"".join(packed(text, [], "zst", level) + struct.pack("<II", 0x184D2A5F, 3) + b"abc" for text in texts)
    assert [place for place, _ in members.frames(io.BytesIO(raw))] == list(frames_by_decoding(raw))
    for cut in (1, 5, len(raw) // 2):  # a cut file ends the list, and no frame is made up
        assert {p for p, _ in members.frames(io.BytesIO(raw[:-cut]))} <= {p for p, _ in members.frames(io.BytesIO(raw))}


def test_frames_inside_frames(tmp_path: Path) -> None:
    pack = zstandard.ZstdCompressor()
    inner = b"".join(pack.compress(response(100 + i, noise(300))) for i in range(50))
    raw = b"".join(pack.compress(response(i, inner if i == 3 else b"<p>page</p>" * 40)) for i in range(12))
    assert pack.compress(response(100, b"x"))[:4] in raw[40:]
    path = tmp_path / "x.warc.zst"
    path.write_bytes(raw)
    for count in (2, 5, 40):
        parts = [told(path, part) for part in edges_of(len(raw), count)]
        assert list(itertools.chain(*parts)) == [str(i) for i in range(12)] and sum(map(bool, parts)) > 1
