"""datatrove_step: reasons, changed texts, and the letters about wrong options."""

import pyarrow as pa
import pytest
from datatrove.pipeline.filters.base_filter import BaseFilter

from filters.datatrove import _snake, datatrove_step


def table(texts, **columns):
    n = len(texts)
    return pa.table({"id": [f"d{i}" for i in range(n)], "text": pa.array(texts, pa.large_string()), **columns})


class NoReasonHTTPFilter(BaseFilter):
    """Keeps documents whose metadata says so."""

    def filter(self, doc):
        return bool(doc.metadata.get("good")) and doc.metadata.get("language") == "en"


class BrokenImport(BaseFilter):
    def filter(self, doc):
        raise ImportError("Please install `spacy` to use X (`pip install spacy`).")


def test_reason_of_the_filter():
    out, reasons = datatrove_step(filter="GopherQualityFilter")(table(["I am too small...", None]))
    assert [each["reason"] for each in reasons.to_pylist()] == ["gopher_short_doc", "gopher_short_doc"]
    assert out["text"].to_pylist() == ["I am too small...", None]


def test_options_reach_the_filter():
    step = datatrove_step(filter="RegexFilter", regex_exp="mill")
    assert [each and each["reason"] for each in step(table(["a mill", "a cow", "", "x"]))[1].to_pylist()] == [
        "regex_filter",
        None,
        None,
        None,
    ]


def test_metadata_and_name_of_the_class():
    metadata = pa.array(['{"good": true}', None, '{"good": true}'], pa.large_string())
    step = datatrove_step(filter="test_datatrove.NoReasonHTTPFilter")
    reasons = step(table(["a", "b", "c"], metadata=metadata, lang=["en", "en", None]))[1]
    assert [each and each["reason"] for each in reasons.to_pylist()] == [
        None,
        "no_reason_http_filter",
        "no_reason_http_filter",
    ]


def test_text_that_a_filter_changes():
    step = datatrove_step(filter="C4QualityFilter", filter_no_terminal_punct=False, min_num_sentences=-1)
    out, reasons = step(
        table(["We grind all the corn here.[12]\nThis site uses cookies, please agree.\nThe mill stands still.", None])
    )
    assert out["text"].to_pylist() == ["We grind all the corn here.\nThe mill stands still.", None]
    assert reasons.null_count == 2


def test_formatter():
    out, reasons = datatrove_step(formatter="FTFYFormatter")(table(["cafÃ©", None, "", "x"]))
    assert out["text"].to_pylist() == ["café", None, "", "x"]
    assert reasons.null_count == 4


def test_no_state_from_document_to_document():
    step = datatrove_step(formatter="PIIFormatter")
    both = step(table(["a@b.com c@d.org e@f.net", "x@y.com"]))[0]["text"].to_pylist()
    assert both[1] == step(table(["x@y.com"]))[0]["text"][0].as_py()


def test_no_rows():
    out, reasons = datatrove_step(filter="RegexFilter", regex_exp="x")(table([]))
    assert out.num_rows == len(reasons) == 0


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({}, "one of `filter` and `formatter`"),
        ({"filter": "RegexFilter", "formatter": "PIIFormatter"}, "one of"),
        ({"filter": "GopherQualtyFilter"}, "did you mean 'GopherQualityFilter'"),
        ({"formatter": "PiiFormater"}, "did you mean 'PIIFormatter'"),
        ({"filter": "GopherQualityFilter", "min_words": 3}, "did you mean 'min_doc_words'.*it takes: min_doc_words"),
        ({"filter": "RegexFilter", "exclusion_writer": 1}, "no option 'exclusion_writer'"),
        ({"filter": "LambdaFilter"}, "needs the option 'filter_function'"),
        ({"filter": "SamplerFilter", "rate": 0.5}, "random numbers"),
        ({"filter": "C4BadWordsFilter", "keep_fraction": 0.1}, "random numbers.*Leave out keep_fraction"),
        ({"filter": "no_such_module.Thing"}, "cannot be imported"),
        ({"filter": "json.JSONDecoder"}, "not a filter"),
        ({"filter": "json.JSONDecode"}, "not a filter"),
        ({"filter": "GopherQualityFilter", "language": "xxx"}, "tokenizer"),
    ],
)
def test_wrong_options(options, letter):
    with pytest.raises(ValueError, match=letter):
        datatrove_step(**options)


def test_missing_package():
    step = datatrove_step(filter="test_datatrove.BrokenImport")
    with pytest.raises(ValueError, match="pip install spacy"):
        step(table(["a"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GopherQualityFilter", "gopher_quality_filter"),
        ("C4BadWordsFilter", "c4_bad_words_filter"),
        ("URLFilter", "url_filter"),
    ],
)
def test_snake(name, expected):
    assert _snake(name) == expected
