"""Short texts: py3langid is asked where both models know the languages; the letter when it is not installed."""

import builtins
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from filters.language import identify, labels, language
from filters.texts import Texts


def table(texts):
    return pa.table({"text": pa.array(texts, pa.large_string())})


def test_short_texts_get_a_second_opinion():
    pytest.importorskip("py3langid")
    texts = [
        "如何重新命名一個資料夾？",
        "Bonjour à tous",
        None,
        "!?",
        "The mill grinds slowly but it grinds fine. " * 3,
    ]
    plain, _ = language()(table(texts))
    mixed, _ = language(short=60)(table(texts))
    assert mixed["lang"].to_pylist() == ["zh", "fr", "und", "und", "en"]
    assert mixed["lang"][4] == plain["lang"][4] and mixed["lang_score"][4] == plain["lang_score"][4]
    assert language(short=3)(table(texts))[0]["lang"].to_pylist() == plain["lang"].to_pylist()


def test_not_installed(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("py3langid"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match="pip install py3langid"):
        language(short=60)


def test_a_negative_length():
    with pytest.raises(ValueError, match="0 or more, not -1"):
        language(short=-1)


def test_second_language_is_a_signal():
    out, _ = language(second=True)(table(["The mill grinds slowly. Die Mühle mahlt langsam, aber fein.", ""]))
    scores, seconds = out["lang_score"].to_pylist(), out["signal.second_language_score"].to_pylist()
    assert scores[0] > seconds[0] > 0.05 and seconds[1] == 0.0


@pytest.mark.shared
def test_short_sentences_of_many_languages(shared_data):
    pytest.importorskip("py3langid")
    with gzip.open(shared_data / "langid/common_voice_300.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][::5]
    rows = [row for row in rows if row["lang"].split("-")[0] in labels() and len(row["text"]) < 60]
    texts = [row["text"] for row in rows]
    truth = np.array([row["lang"].split("-")[0] for row in rows])

    def share(found):
        return np.mean(np.array(["zh" if each == "yue" else each for each in found]) == truth)

    alone, _ = identify(Texts(pa.array(texts)))
    mixed = language(short=60)(table(texts))[0]["lang"].to_pylist()
    assert share(mixed) > share(alone) + 0.05
