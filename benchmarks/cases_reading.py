"""Files to documents. JSONL.zst is counted in MB of text, WARC in MB of pages."""

from __future__ import annotations

from typing import Any

from registry import OURS, Sample, Work, runner

JSONL = "read JSONL.zst"
WARC = "read WARC.gz"


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


def _theirs(reader: Any) -> Work:
    def work() -> Any:
        documents = sum(1 for _ in reader.run())
        assert documents, "datatrove read nothing"

    return work
