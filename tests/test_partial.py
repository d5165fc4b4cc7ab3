"""Files of earlier stages on S3: what is asked for is fetched, once, and no more than that."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sets_on_disk import sets_on_disk

from dedup.similarity import similarities_of
from pipeline.errors import StorageError
from pipeline.files import partial, s3, storage
from pipeline.files.partial import Partial
from pipeline.files.stage_files import opened
from pipeline.matching.sets import Documents


class Requests:
    """Ranges asked of one object of known bytes."""

    def __init__(self, monkeypatch, data):
        self.asked, self.data = [], data
        monkeypatch.setattr(storage, "read_range", self.read)

    def read(self, path, start, end):
        self.asked.append((start, end))
        return self.data[start:end]


@given(st.data())
def test_what_is_asked_for_is_there_and_is_fetched_once(data):
    size = data.draw(st.integers(1, 40)) * 100 + data.draw(st.integers(0, 99))
    content = np.random.default_rng(size).bytes(size)
    place = st.integers(0, size)
    asked = data.draw(st.lists(st.lists(st.tuples(place, place).map(sorted), min_size=1, max_size=4), max_size=5))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BLOCK": 32, "GAP": 2, "MOST": 5, "AHEAD": 3}.items():
            patch.setattr(partial, name, value)
        requests = Requests(patch, content)
        with Partial("s3://b/x", size) as file:
            for ranges in asked:
                starts, ends = np.array(sorted(ranges)).T
                file.fetch(starts, ends)
                here = np.fromfile(file.path, np.uint8)
                assert all(here[a:b].tobytes() == content[a:b] for a, b in ranges)
            wanted = {byte // 32 for ranges in asked for a, b in ranges for byte in range(a, b)}
            fetched = [block for start, end in requests.asked for block in range(start // 32, -(-end // 32))]
            assert wanted <= set(fetched) and all(end - start <= 5 * 32 for start, end in requests.asked)
            # beyond what is wanted only small gaps
            assert len(wanted) <= len(set(fetched)) <= 3 * max(len(wanted), 1)
            before = len(requests.asked)
            for ranges in asked:
                file.fetch(*np.array(sorted(ranges)).T)
            assert len(requests.asked) == before
            file.seek(size // 3)
            assert file.read(50) == content[size // 3 : size // 3 + 50] and file.seek(-3, 2) == size - 3
            assert file.read() == content[-3:] and file.read(1) == b""


def test_a_file_that_has_changed_is_told(monkeypatch):
    Requests(monkeypatch, b"short")
    with Partial("s3://b/x", 1000) as file, pytest.raises(StorageError, match="asked for bytes 0 to 1000, got 5"):
        file.fetch(np.array([10]), np.array([20]))


def test_batches_come_one_by_one(s3_bucket):
    """Of 40 batches of 80 KB three are read, in no order, twice."""
    schema, rows = pa.schema([("a", pa.int64())]), np.arange(400_000).reshape(40, -1)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for part in rows:
            writer.write_batch(pa.record_batch([pa.array(part)], schema=schema))
    whole = sink.getvalue().to_pybytes()
    storage.write_bytes(f"{s3_bucket}/x.arrow", whole)
    manifest = {
        "stage": "s",
        "task": "t",
        "outputs": [{"name": "x", "path": "x.arrow", "rows": 1, "bytes": len(whole)}],
    }
    counted, stop = listening()
    with opened(s3_bucket) as files:
        for number in (7, 39, 20, 7):
            with files.source(manifest, "x") as source:
                assert pa.ipc.open_file(source).get_batch(number)["a"].to_pylist() == rows[number].tolist()
            assert files.arrow(manifest, "x").get_batch(number)["a"].to_pylist() == rows[number].tolist()
        assert counted["GetObject"] <= 7 and counted["bytes"] < len(whole) / 6
        assert files.table(manifest, "x")["a"].to_pylist() == rows.ravel().tolist()
    stop()


def listening():
    """Counts requests by kind, and what they bring, until it is stopped."""
    counted = Counter()

    def after(parsed, model, **_):
        counted[model.name] += 1
        counted["bytes"] += parsed.get("ContentLength", 0) if model.name == "GetObject" else 0

    s3.client().meta.events.register("after-call.s3", after)
    return counted, lambda: s3.client().meta.events.unregister("after-call.s3", after)


@pytest.mark.parametrize("pairs", [3, 200])
def test_of_shingles_those_of_candidates_are_fetched(s3_bucket, monkeypatch, pairs):
    """Two files of 2.4 MB, of which neighbours are compared: few pairs of many tasks, and many of two."""
    chance, rows, each = np.random.default_rng(2), 1000, 300
    sets = np.sort(chance.integers(0, 400, (2, rows, each), np.uint64), axis=2)
    job = sets_on_disk(monkeypatch, s3_bucket, list(sets))
    left = np.arange(100, 100 + pairs, dtype=np.uint64)
    right = left + np.uint64(1 << 32)
    counted, stop = listening()
    with opened(s3_bucket) as files:
        documents = Documents(job, files)
        some = documents.similarities(left, right, 0.1)
        fetched = counted["bytes"]
        assert documents.gather(left)[1].tolist() == sets[0, 100 : 100 + pairs].ravel().tolist()
        assert counted["bytes"] == fetched
        assert documents.gather(np.arange(rows, dtype=np.uint64))[1].tolist() == sets[0].ravel().tolist()
        assert documents.similarities(left, right, 0.1).tolist() == some.tolist()
    stop()
    ours, theirs = ((np.arange(rows + 1) * each, sets[index].ravel()) for index in range(2))
    places = np.arange(100, 100 + pairs)
    alone = similarities_of(ours, theirs, places, places, 0.1).tolist()
    assert some.tolist() == alone
    assert fetched < 2 * (8 * each * pairs + 4 * partial.BLOCK) + 2 * rows * 64
