"""Small files that unpack to enormous ones cost themselves, and no memory."""

from __future__ import annotations

import gzip
import lzma
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from fuzz_seeds import warc_record
from reading import account, load, quarantined, rows

from pipeline.readers import decoders, streams, warc

HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: %s\r\n\r\n"
TYPE = "WARC-Record-ID: <urn:uuid:1>\r\nContent-Type: application/http; msgtype=response\r\n"


LIMIT = 4 << 20


@pytest.mark.parametrize("size", [LIMIT - 100, 8 * LIMIT])
def test_a_packed_body_over_the_limit_is_quarantined(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warc.BODY_LIMIT == 64 << 20, "as docs/formats.md says"
    monkeypatch.setattr(warc, "BODY_LIMIT", LIMIT)

    def response(body: bytes) -> bytes:
        return warc_record("response", TYPE, HTTP % b"gzip" + gzip.compress(body, 1))

    path = tmp_path / "x.warc"
    path.write_bytes(response(b"<p>one") + response(b"<p>" + b" " * size) + response(b"<p>two"))
    tracemalloc.start()
    batches = load(path, batch_rows=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    account(batches)
    pages = [row["html"][:6] for row in rows(batches)]
    if size < LIMIT:
        assert pages == [b"<p>one", b"<p>   ", b"<p>two"]
    else:
        assert pages == [b"<p>one", b"<p>two"]
        (entry,) = quarantined(batches)
        assert entry["error"].startswith("BrokenBody") and f"unpack to more than {LIMIT}" in entry["error"]
        assert entry["record"] == 1 and peak < 4 * LIMIT


@pytest.mark.parametrize("kind", ["gz", "zst", "xz"])
def test_a_member_that_unpacks_to_an_absurd_size_is_cut(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BOMB_BYTES", 20 << 20)
    pack = {"gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress}[kind]
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(pack(b'{"text": "good"}\n') + pack(b'{"text": "' + b" " * (60 << 20) + b'"}'))
    batches = load(path)
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["good"]
    (entry,) = quarantined(batches)
    assert "Bomb: " in entry["error"] and entry["tail"]


def test_an_honest_file_of_any_size_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BOMB_BYTES", 1 << 20)
    path = tmp_path / "x.jsonl.gz"
    line = b'{"text": "the same line again and again, as in a log"}\n'
    path.write_bytes(gzip.compress(line * 100_000))
    assert len(rows(load(path))) == 100_000


def test_a_decoder_that_asks_for_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "XZ_MEMORY", 1 << 20)
    path = tmp_path / "x.jsonl.xz"
    path.write_bytes(lzma.compress(b'{"text": "x"}\n', preset=9))
    (entry,) = quarantined(load(path))
    assert "emory" in entry["error"] and entry["tail"]
