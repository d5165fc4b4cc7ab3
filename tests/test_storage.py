"""Storage: the same calls on a local folder and on S3."""

from __future__ import annotations

import http.server
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import InputError, StorageError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.files.storage import join
from pipeline.readers import format_of


def known(path: str) -> bool:
    return format_of(path) is not None


@pytest.fixture(params=["local", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("s3_bucket")) + "/base"
    return str(tmp_path / "base")


@pytest.fixture
def tree(base: str) -> str:
    names = ["a.jsonl", "b.jsonl.gz", "b.txt.md5", "deep/c.parquet", "deep/er/d.warc.gz", "deep/er/e.jsonl"]
    hidden = ["_SUCCESS.json", ".cache/x.jsonl", "deep/_tmp/y.jsonl"]
    for name in names + hidden:
        storage.write_bytes(join(base, name), name.encode())
    return base


def names(tree: str, *patterns: str) -> list[str]:
    found = expand([p if "://" in p or p.startswith("/") else join(tree, p) for p in patterns], known)
    return [info.path.removeprefix(tree + "/") for info in found]


ALL = ["a.jsonl", "b.jsonl.gz", "deep/c.parquet", "deep/er/d.warc.gz", "deep/er/e.jsonl"]


@pytest.mark.parametrize(
    "patterns, expected",
    [
        (["a.jsonl"], ["a.jsonl"]),
        ([""], ALL),
        (["deep"], ALL[2:]),
        (["deep/"], ALL[2:]),
        (["*.jsonl"], ["a.jsonl"]),
        (["*.jsonl*"], ["a.jsonl", "b.jsonl.gz"]),
        (["?.jsonl"], ["a.jsonl"]),
        (["[!a].jsonl.gz"], ["b.jsonl.gz"]),
        (["deep/*/*.jsonl"], ["deep/er/e.jsonl"]),
        (["**/*.jsonl"], ["a.jsonl", "deep/er/e.jsonl"]),
        (["deep/**/*.jsonl"], ["deep/er/e.jsonl"]),
        (["_*.json"], ["_SUCCESS.json"]),
        (["b.txt.md5"], ["b.txt.md5"]),
        (["deep", "a.jsonl", "*.jsonl", "a.jsonl"], ["a.jsonl", *ALL[2:]]),
    ],
)
def test_expand(tree: str, patterns: list[str], expected: list[str]) -> None:
    assert names(tree, *patterns) == expected


@pytest.mark.parametrize("pattern", ["nothing.jsonl", "nowhere/", "*.csv", "deep/_tmp/none*"])
def test_expand_refuses_what_gives_nothing(tree: str, pattern: str) -> None:
    with pytest.raises(InputError):
        names(tree, pattern)


def test_expand_letters(tmp_path: Path) -> None:
    (tmp_path / "shard-1.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"shard-2\.jsonl: no such file or folder, did you mean 'shard-1\.jsonl'"):
        expand([str(tmp_path / "shard-2.jsonl")], known)
    with pytest.raises(InputError, match=r"no file matches, did you mean 'shard-1\.jsonl'"):
        expand([str(tmp_path / "shard-*.jsonl.gz")], known)
    with pytest.raises(InputError, match="at least one file"):
        expand([], known)
    (tmp_path / "shard-1.jsonl").rename(tmp_path / "shard-1.docx")
    with pytest.raises(InputError, match=r"known format \(1 files: shard-1\.docx\)"):
        expand([str(tmp_path)], known)


def test_a_name_with_glob_signs_is_a_name_first(tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_text("{}")
    (tmp_path / "a1.jsonl").write_text("{}")
    assert [i.path for i in expand([str(tmp_path / "a[1].jsonl")], known)] == [str(tmp_path / "a[1].jsonl")]


def test_version_tells_a_change(base: str) -> None:
    path = join(base, "x")
    storage.write_bytes(path, b"one")
    before = storage.stat(path)
    assert (before.path, before.size) == (path, 3)
    assert storage.stat(path) == before
    storage.write_bytes(path, b"two")
    assert storage.stat(path).size == 3
    assert storage.stat(path).version != before.version


def test_read_write_delete(base: str) -> None:
    path = join(base, "some/deep/x.bin")
    assert not storage.exists(path)
    with pytest.raises(InputError):
        storage.read_bytes(path)
    with pytest.raises(InputError):
        storage.stat(path)
    storage.write_bytes(path, b"\x1f\x8b\x08 not decompressed")
    assert storage.exists(path)
    assert storage.read_bytes(path) == b"\x1f\x8b\x08 not decompressed"
    with storage.open_read(path) as stream:
        assert stream.read(3) == b"\x1f\x8b\x08"
        assert stream.read() == b" not decompressed"
    storage.delete(path)
    storage.delete(path)
    assert not storage.exists(path)


def test_open_read_never_decompresses(base: str) -> None:
    import gzip

    packed = gzip.compress(b"plain")
    storage.write_bytes(join(base, "x.gz"), packed)
    assert storage.read_bytes(join(base, "x.gz")) == packed


def test_publish_moves_the_whole_file(base: str) -> None:
    path = join(base, "train/part-00000.bin")
    for content in (b"first", b"second"):
        temporary = storage.temp_for(path)
        Path(temporary).write_bytes(content)
        storage.publish(temporary, path)
        assert not os.path.exists(temporary)
        assert storage.read_bytes(path) == content


def test_publish_from_another_filesystem(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second filesystem here")
    temporary = other / f"gristmill-test-{os.getpid()}"
    temporary.write_bytes(b"x" * 100)
    storage.publish(str(temporary), str(tmp_path / "out/y"))
    assert (tmp_path / "out/y").read_bytes() == b"x" * 100
    assert not temporary.exists()
    assert [name for name in os.listdir(tmp_path / "out") if name.endswith(".tmp")] == []


def test_temp_names_never_meet(base: str) -> None:
    path = join(base, "part-0")
    assert len({storage.temp_for(path) for _ in range(100)}) == 100


def test_put_if_absent_has_one_winner(base: str) -> None:
    path = join(base, "manifests/x.json")
    assert storage.put_if_absent(path, b"first") is True
    assert storage.put_if_absent(path, b"second") is False
    assert storage.read_bytes(path) == b"first"


def test_put_if_absent_of_many_threads(tmp_path: Path) -> None:
    won: list[bool] = []
    path = str(tmp_path / "one")
    threads = [threading.Thread(target=lambda: won.append(storage.put_if_absent(path, b"x"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []


def test_local_copy(base: str) -> None:
    path = join(base, "x.parquet")
    storage.write_bytes(path, b"content")
    with storage.local_copy(path) as local:
        assert Path(local).read_bytes() == b"content"
    assert os.path.exists(local) == ("://" not in path)
    with pytest.raises(InputError), storage.local_copy(join(base, "none")):
        pass


def test_list_and_delete_tree(tree: str) -> None:
    listed = [info.path.removeprefix(tree + "/") for info in storage.list_files(tree)]
    assert listed == sorted(listed) and len(listed) == 9 and ".cache/x.jsonl" in listed
    assert all(path.endswith(".jsonl") for path in (i.path for i in storage.list_files(tree, ".jsonl")))
    storage.delete_tree(join(tree, "deep"))
    assert len(storage.list_files(tree)) == 5
    storage.delete_tree(join(tree, "deep"))
    assert storage.list_files(join(tree, "deep")) == []


def test_delete_tree_leaves_the_neighbour_with_the_longer_name(base: str) -> None:
    storage.write_bytes(join(base, "out/x"), b"")
    storage.write_bytes(join(base, "out2/x"), b"")
    storage.delete_tree(join(base, "out"))
    assert [info.path for info in storage.list_files(base)] == [join(base, "out2/x")]


def test_s3_letters(s3_bucket: str) -> None:
    with pytest.raises(InputError, match="no such object"):
        storage.open_read(f"{s3_bucket}/none")
    with pytest.raises(StorageError, match="no such bucket"):
        storage.list_files("s3://no-bucket-of-this-name/x")
    with pytest.raises(StorageError, match="no such bucket"):
        storage.write_bytes("s3://no-bucket-of-this-name/x", b"")
    with pytest.raises(StorageError, match="no bucket"):
        storage.stat("s3://")


def test_writing_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="only local paths and s3://"):
        storage.write_bytes("https://example.org/x", b"")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match=r"file/x: could not"):
        storage.write_bytes(str(blocked / "x"), b"")


def test_http(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "over http"}\n')
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.jsonl"
        assert [info.size for info in expand([url], known)] == [22]
        assert storage.read_bytes(url) == b'{"text": "over http"}\n'
        assert storage.exists(url) and not storage.exists(url + ".none")
        with storage.local_copy(url) as local:
            assert Path(local).read_bytes() == storage.read_bytes(url)
        with pytest.raises(InputError, match="404"):
            storage.open_read(url + ".none")
        server.shutdown()
