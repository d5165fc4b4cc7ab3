"""gs:// through Google's own library, against a server on loopback that speaks the part of the JSON API that reading needs."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import sums
from reading import load, rows

from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError, StorageError
from pipeline.files import gcs, parts, storage
from pipeline.files.patterns import expand
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run

DEMO = Path(__file__).parent.parent / "configs" / "demo"
LINES = b"".join(
    json.dumps({"id": f"d{i}", "text": f"The mill grinds. {i} " * 30}).encode() + b"\n" for i in range(400)
)


class Cloud:
    """One bucket, "b". A generation is a count of what was put there."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int, str]] = {}
        self.errors: list[int] = []  # statuses to answer with first
        self.ranges: list[str | None] = []
        self.page = 2  # names in one answer of a listing

    def put(self, key: str, data: bytes, encoding: str = "") -> None:
        self.objects[key] = data, len(self.ranges) + len(self.objects) + 1, encoding


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    state = Cloud()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, state)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    gcs._client.cache_clear()
    yield state
    server.shutdown()
    gcs._client.cache_clear()


def answer(request: BaseHTTPRequestHandler, cloud: Cloud) -> None:
    url = urlsplit(request.path)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    if url.path.endswith("/b/b"):  # what the library asks of its own accord
        return send(request, 200, b'{"name": "b"}')
    if cloud.errors:
        return send(request, cloud.errors.pop(0), b'{"error": {"message": "as the test wants it"}}')
    place, _, key = url.path.partition("/b/b/o")
    key = unquote(key.removeprefix("/"))
    if "/b/b/o" not in url.path or (key and key not in cloud.objects):
        return send(request, 404, b'{"error": {"message": "not found"}}')
    if not key:
        names = sorted(name for name in cloud.objects if name.startswith(asked.get("prefix", "")))
        start = int(asked.get("pageToken", 0))
        listed: dict[str, Any] = {"items": [described(name, cloud) for name in names[start : start + cloud.page]]}
        if start + cloud.page < len(names):
            listed["nextPageToken"] = str(start + cloud.page)
        return send(request, 200, json.dumps(listed).encode())
    data, generation, encoding = cloud.objects[key]
    if "download" not in place:
        return send(request, 200, json.dumps(described(key, cloud)).encode())
    if int(asked.get("ifGenerationMatch", generation)) != generation:
        return send(request, 412, b'{"error": {"message": "another generation"}}')
    if int(asked.get("generation", generation)) != generation:
        return send(request, 404, b'{"error": {"message": "no such generation"}}')
    asked_for = request.headers["Range"]
    cloud.ranges.append(asked_for)
    first, _, last = (asked_for or "bytes=0-").removeprefix("bytes=").partition("-")
    if int(first) >= len(data):
        return send(request, 416, b"")
    part = data[int(first) : int(last or len(data)) + 1]
    headers = {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"}
    send(request, 206, part, headers | ({"Content-Encoding": encoding} if encoding else {}))


def described(name: str, cloud: Cloud) -> dict[str, Any]:
    data, generation, _ = cloud.objects[name]
    return {"name": name, "bucket": "b", "size": str(len(data)), "generation": str(generation)}


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in (
        {"Content-Length": str(len(body)), "Content-Type": "application/json"} | (headers or {})
    ).items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def test_folders_globs_and_names(cloud: Cloud) -> None:
    for key in (
        "crawl/",
        "crawl/a.jsonl",
        "crawl/b.jsonl.gz",
        "crawl/sub/c.jsonl",
        "crawl/_tmp.jsonl",
        "crawl/x.bin",
        "other.jsonl",
    ):
        cloud.put(key, b"{}\n")

    def found(*patterns: str) -> list[str]:
        known = lambda path: ".jsonl" in path  # noqa: E731
        return [info.path.removeprefix("gs://b/") for info in expand(list(patterns), known)]

    assert found("gs://b/crawl") == ["crawl/a.jsonl", "crawl/b.jsonl.gz", "crawl/sub/c.jsonl"]
    assert found("gs://b/crawl/*.jsonl") == ["crawl/a.jsonl"]
    assert found("gs://b/**/*.jsonl") == ["crawl/a.jsonl", "crawl/sub/c.jsonl", "other.jsonl"]
    assert found("gs://b/other.jsonl", "gs://b/crawl/_tmp.jsonl") == ["crawl/_tmp.jsonl", "other.jsonl"]
    with pytest.raises(InputError, match=r"no file matches.*a\.jsonl"):
        found("gs://b/crawl/*.jsonn")


def test_a_version_is_the_generation(cloud: Cloud) -> None:
    cloud.put("a", b"one")
    before = storage.stat("gs://b/a")
    cloud.put("a", b"two")
    after = storage.stat("gs://b/a")
    assert before.size == after.size == 3
    assert before.version != after.version


def test_a_stream_can_be_read_from_any_byte(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "CHUNK", 1000)
    cloud.put("folder/a b+ü.jsonl", LINES)
    with storage.open_read("gs://b/folder/a b+ü.jsonl") as stream:
        assert stream.read(10) == LINES[:10]
        stream.seek(5000)
        assert stream.read(2500) == LINES[5000:7500]
        stream.seek(-7, 2)
        assert stream.read() == LINES[-7:]
        stream.seek(0)
        assert stream.read() == LINES
    cloud.put("empty", b"")
    assert storage.read_bytes("gs://b/empty") == b""


def test_objects_are_read_as_they_are_stored(cloud: Cloud) -> None:
    cloud.put("a.jsonl.gz", gzip.compress(LINES), encoding="gzip")
    assert storage.read_bytes("gs://b/a.jsonl.gz") == cloud.objects["a.jsonl.gz"][0]
    assert len(rows(load("gs://b/a.jsonl.gz"))) == 400


def test_a_request_that_fails_is_sent_again(cloud: Cloud) -> None:
    cloud.put("a.jsonl", LINES)
    with storage.open_read("gs://b/a.jsonl") as stream:
        cloud.errors = [503]
        assert stream.read() == LINES


def test_letters(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.put("a.jsonl", LINES)
    for path in ("gs://b/b.jsonl", "gs://other/a.jsonl", "gs://b"):
        with pytest.raises(InputError, match="no such object"):
            storage.open_read(path)
    with pytest.raises(InputError, match="no such object"):
        storage.list_files("gs://other/folder")
    cloud.errors = [403]
    with pytest.raises(InputError, match=r"not allowed to read it.*as the test wants it"):
        storage.stat("gs://b/a.jsonl")
    cloud.errors = [400]
    with pytest.raises(StorageError, match=r"did not answer.*as the test wants it"):
        storage.stat("gs://b/a.jsonl")
    with pytest.raises(StorageError, match="only local paths and s3://"):
        storage.write_bytes("gs://b/out", b"x")
    gcs._client.cache_clear()
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    with pytest.raises(InputError, match=r"pip install 'gristmill\[gcs\]'"):
        storage.stat("gs://b/a.jsonl")


def test_an_object_that_is_replaced_is_not_read_on(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "CHUNK", 1000)
    cloud.put("a.jsonl", LINES)
    with storage.open_read("gs://b/a.jsonl") as stream:
        stream.read(10)
        cloud.put("a.jsonl", LINES[::-1])
        with pytest.raises(StorageError, match="replaced or removed while it was read"):
            stream.read(5000)


RECIPE = """
input: {{paths: ["{folder}/pages.warc.gz", "{folder}/more"]}}
steps:
  - extract: {{}}
  - keep: {{word_count: {{min: 20}}}}
output: {{path: {out}, format: jsonl}}
run: {{engine: local}}
"""


def test_the_same_bytes_as_from_the_disk(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 200_000)
    here = tmp_path / "in"
    (here / "more").mkdir(parents=True)
    (here / "pages.warc.gz").write_bytes((DEMO / "pages.warc.gz").read_bytes())
    (here / "more" / "lines.jsonl").write_bytes(LINES * 3)
    table = pa.table(
        {"id": [f"p{i}" for i in range(50)], "text": [f"Rivers drive the mill. {i} " * 9 for i in range(50)]}
    )
    pq.write_table(table, here / "more" / "table.parquet")
    for file in here.rglob("*.*"):
        cloud.put(f"in/{file.relative_to(here)}", file.read_bytes())

    def mill(folder: str, out: str) -> dict[str, Any]:
        (tmp_path / f"{out}.yaml").write_text(RECIPE.format(folder=folder, out=tmp_path / out))
        job, options = prepare(str(tmp_path / f"{out}.yaml"))
        return run(job, options.run, LocalEngine(), Silent()).manifest

    one, other = mill(str(here), "here"), mill("gs://b/in", "there")
    assert one["account"] == other["account"]
    assert one["account"]["read"] > 1000
    assert sums(tmp_path / "here" / "train") == sums(tmp_path / "there" / "train")
    shards = {
        name.rpartition("/")[2]
        for name in (row["shard"] for row in pq.read_table(tmp_path / "there" / "rejected").to_pylist())
    }
    assert any(name.startswith("pages.warc.gz#") for name in shards)
