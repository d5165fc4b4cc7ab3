"""language: real sentences, rejects, and the letters about wrong options and models."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from filters.language import identify, labels, language, load_model
from filters.texts import Texts


def table(texts):
    return pa.table({"text": pa.array(texts, pa.large_string()), "_other": list(range(len(texts)))})


def test_sentences_of_four_languages(small_data):
    rows = [json.loads(line) for line in (small_data / "language/common_voice.jsonl").read_text("utf-8").splitlines()]
    found, scores = identify(Texts(pa.array([row["text"] for row in rows])))
    assert np.mean([label == row["lang"] for label, row in zip(found, rows)]) >= 0.975
    assert scores.dtype == np.float64 and (scores > 0).all() and (scores <= 1).all()


def test_columns_and_reasons():
    german, japanese, english = (
        "Die Mühle mahlt langsam, aber fein.",
        "これはペンです。",
        "The mill grinds slowly but fine.",
    )
    out, reasons = language(in_=["de", "ja"], min_score=0.97)(table([german, japanese, english, None]))
    assert out["lang"].to_pylist() == ["de", "ja", "en", "und"]
    assert out["_other"].to_pylist() == [0, 1, 2, 3]
    scores = out["lang_score"].to_pylist()
    assert reasons.to_pylist() == [
        {"reason": "language_score.min", "value": scores[0], "threshold": 0.97, "detail": "de"},
        None,
        {"reason": "language", "value": scores[2], "threshold": None, "detail": "en"},
        {"reason": "language", "value": 0.0, "threshold": None, "detail": "und"},
    ]


@pytest.mark.parametrize("text", ["", None, " \n", "!?", "😀", "\x00"])
def test_nothing_to_read_is_undetermined(text):
    out, reasons = language()(table([text]))
    assert (out["lang"][0].as_py(), out["lang_score"][0].as_py(), reasons[0].as_py()) == ("und", 0.0, None)


def test_score_equal_to_the_minimum_stays():
    text = ["The mill grinds slowly but fine."]
    score = language()(table(text))[0]["lang_score"][0].as_py()
    assert language(min_score=score)(table(text))[1].null_count == 1
    assert language(min_score=np.nextafter(score, 1))(table(text))[1].null_count == 0


def test_line_ends_do_not_matter():
    (first, second), scores = identify(Texts(pa.array(["The mill\ngrinds", "The mill grinds"])))
    assert first == second and scores[0] == scores[1]


def test_no_rows():
    out, reasons = language(in_=["en"])(table([]))
    assert out.num_rows == len(reasons) == 0 and out["lang_score"].type == pa.float64()


def test_several_scripts_and_one_letter():
    found, scores = identify(Texts(pa.array(["Hello 你好 привет こんにちは", "a"])))
    assert set(found) <= labels() and (scores > 0).all()


def test_the_model_is_loaded_once():
    assert load_model() is load_model()


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({"in_": ["eng"]}, "no language 'eng', did you mean 'en'"),
        ({"in_": []}, "empty list"),
        ({"min_score": 65}, "from 0 to 1, not 65"),
    ],
)
def test_wrong_options(options, letter):
    with pytest.raises(ValueError, match=letter):
        language(**options)


def test_missing_model(tmp_path):
    (tmp_path / "lid.176.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"lid\.167\.bin'.*did you mean 'lid\.176\.bin'"):
        language(in_=["en"], model=str(tmp_path / "lid.167.bin"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"version https://git-lfs.github.com/spec/v1"])
def test_no_model_at_all(tmp_path, content):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ValueError, match="no fastText model"):
        load_model(str(tmp_path / "model.bin"))


def test_cut_model(tmp_path):
    from importlib import resources

    whole = (resources.files("filters.models") / "lid.176.ftz").read_bytes()
    (tmp_path / "cut.ftz").write_bytes(whole[:2000])
    with pytest.raises(ValueError, match=r"broken fastText model|without labels"):
        load_model(str(tmp_path / "cut.ftz"))


def test_word_vectors_are_no_language_model(tmp_path):
    import fasttext

    (tmp_path / "words.txt").write_text("the mill grinds the corn\n" * 50)
    vectors = fasttext.train_unsupervised(
        str(tmp_path / "words.txt"), dim=2, epoch=1, minCount=1, bucket=10, thread=12, verbose=0
    )
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ValueError, match="without labels"):
        load_model(str(tmp_path / "vectors.bin"))


@pytest.mark.shared
def test_documents_of_known_folders(shared_data):
    """The folder is a hint only (untranslated files lie in the zh folders too): those with few Han characters are left out."""
    texts: dict[str, list[str]] = {"en": [], "zh": []}
    with gzip.open(shared_data / "text/multilingual_0.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            han = sum("\u4e00" <= character <= "\u9fff" for character in row["text"])
            if row["lang"] == "zh" and han < 0.3 * len(row["text"]):
                continue
            if row["lang"] in texts and len(texts[row["lang"]]) < 200:
                texts[row["lang"]].append(row["text"])
    for lang, documents in texts.items():
        found, _ = identify(Texts(pa.array(documents, pa.large_string())))
        assert np.mean([label == lang for label in found]) >= 0.95, lang
