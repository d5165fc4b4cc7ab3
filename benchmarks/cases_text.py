"""Jobs on one text at a time: language, repair, personal data, pages to text. The answers are labels where there are such."""

from __future__ import annotations

from typing import Any

from registry import OURS, Sample, Work, runner

LANGUAGE = "language ID, whole text (lid.176)"
REPAIR = "repair Unicode"
PII = "e-mail and IP addresses"
EXTRACT = "pages to text"


@runner(LANGUAGE, OURS, {})
def our_language(sample: Sample) -> Work:
    from filters.language import identify
    from filters.texts import Texts

    tables = sample.tables()

    def work() -> Any:
        labels = [label for table in tables for label in identify(Texts(table["text"]))[0]]
        return lambda: labels

    return work


@runner(LANGUAGE, "fastText", {"en": 4, "zh": 4}, package="fasttext-numpy2-wheel")
def fasttext(sample: Sample) -> Work:
    from importlib import resources

    from fasttext.FastText import _FastText

    model = _FastText(str(resources.files("filters.models") / "lid.176.ftz"))
    texts = sample.texts

    def work() -> Any:
        labels = [model.predict(text.replace("\n", " "))[0][0].removeprefix("__label__") for text in texts]
        return lambda: labels

    return work


@runner(REPAIR, OURS, {})
def our_repair(sample: Sample) -> Work:
    from filters.texts import Texts
    from filters.unicode import repair_unicode

    tables = sample.tables()
    return lambda: [repair_unicode(Texts(table["text"])) for table in tables] and None


@runner(REPAIR, "ftfy", {"en": 4, "zh": 4}, package="ftfy")
def ftfy(sample: Sample) -> Work:
    """With gristmill's defaults: quotes and wide characters stay as they are."""
    from ftfy import TextFixerConfig, fix_text

    config = TextFixerConfig(uncurl_quotes=False, fix_character_width=False)
    texts = sample.texts
    return lambda: [fix_text(text, config) for text in texts] and None


@runner(PII, OURS, {"en": None})
def our_pii(sample: Sample) -> Work:
    from filters.pii import scrub_pii
    from filters.texts import Texts

    tables = sample.tables()
    return lambda: [scrub_pii(Texts(table["text"]), kinds=["email", "ip"]) for table in tables] and None


@runner(PII, "datatrove", {"en": None}, package="datatrove")
def datatrove_pii(sample: Sample) -> Work:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()
    texts = sample.texts
    return lambda: [formatter.format(text) for text in texts] and None


@runner(EXTRACT, OURS, {"pages": None})
def our_extract(sample: Sample) -> Work:
    from filters.extract import extract
    from pipeline.readers import Columns, read

    step = extract()
    batches = read(str(sample.path), format="warc", columns=Columns(), default_source="pages")
    tables = [batch.table for batch in batches]
    return lambda: [step(table) for table in tables] and None


@runner(EXTRACT, "Resiliparse as it is", {"pages": None}, package="resiliparse")
def resiliparse(sample: Sample) -> Work:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    pages = _pages(sample)

    def text_of(page: bytes) -> str:
        return extract_plain_text(HTMLTree.parse_from_bytes(page, detect_encoding(page)), main_content=True)

    return lambda: [text_of(page) for page in pages] and None


@runner(EXTRACT, "Trafilatura", {"pages": 40}, package="trafilatura")
def trafilatura(sample: Sample) -> Work:
    """With the settings of datatrove's extractor."""
    from trafilatura import extract

    pages = _pages(sample)
    options = {"favor_precision": True, "include_comments": False, "deduplicate": True}
    return lambda: [extract(page, **options) for page in pages] and None


def _pages(sample: Sample) -> list[bytes]:
    """The same bodies as gristmill's reader finds."""
    from pipeline.readers import Columns, read

    batches = read(str(sample.path), format="warc", columns=Columns(), default_source="pages")
    return [page for batch in batches for page in batch.table["html"].to_pylist() if page is not None]
