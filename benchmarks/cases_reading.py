"""Files to documents. JSONL.zst is counted in MB of text, WARC in MB of pages."""

from __future__ import annotations

from typing import Any

from registry import OURS, Sample, Work, runner

JSONL = "read JSONL.zst"
WARC = "read WARC.gz"
TEXT = "WARC.gz to text"


def _ours(sample: Sample, kind: str) -> Work:
    from pipeline.readers import Columns, read

    def work() -> Any:
        for _ in read(str(sample.path), format=kind, columns=Columns(), default_source="bench"):
            pass

    return work


@runner(JSONL, OURS, {"en": None})
def our_jsonl(sample: Sample) -> Work:
    return _ours(sample, "jsonl")


@runner(JSONL, "datatrove", {"en": None}, package="datatrove")
def datatrove_jsonl(sample: Sample) -> Work:
    from datatrove.pipeline.readers import JsonlReader

    return _theirs(JsonlReader(str(sample.path.parent), glob_pattern=sample.path.name))


@runner(WARC, OURS, {"pages": None})
def our_warc(sample: Sample) -> Work:
    return _ours(sample, "warc")


@runner(WARC, "datatrove", {"pages": None}, package="datatrove")
def datatrove_warc(sample: Sample) -> Work:
    from datatrove.pipeline.readers import WarcReader

    return _theirs(WarcReader(str(sample.path.parent), glob_pattern=sample.path.name))


@runner(WARC, "FastWARC", {"pages": None}, package="fastwarc")
def fastwarc(sample: Sample) -> Work:
    """Its records one by one, bodies decoded: no table, ids, dates or quarantine."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    def work() -> Any:
        size = 0
        with open(sample.path, "rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, auto_decode="all"):
                size += len(record.reader.read())
        assert size, "FastWARC read nothing"

    return work


@runner(TEXT, OURS, {"pages": None})
def our_text(sample: Sample) -> Work:
    """With the engine of configs/pretrain_web.yaml."""
    from filters.extract import extract
    from pipeline.readers import Columns, read

    step = extract(engine="gristmill")

    def work() -> Any:
        for batch in read(str(sample.path), format="warc", columns=Columns(), default_source="bench"):
            step(batch.table)

    return work


@runner(TEXT, "datatrove", {"pages": None}, package="datatrove")
def datatrove_text(sample: Sample) -> Work:
    """Its reader, and its extractor as its examples have it, here in one process: it spares a pipe to a child."""
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import WarcReader

    extractor = Trafilatura()
    reader = WarcReader(str(sample.path.parent), glob_pattern=sample.path.name)

    def work() -> Any:
        texts = [extractor.extract(document.text) for document in reader.run()]
        assert any(texts), "datatrove found no text"

    return work


def _theirs(reader: Any) -> Work:
    def work() -> Any:
        documents = sum(1 for _ in reader.run())
        assert documents, "datatrove read nothing"

    return work
