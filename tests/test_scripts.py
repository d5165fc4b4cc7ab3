"""The script of a text: real sentences, its plain twin, and names of languages against labels of models."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.language import language
from filters.language_codes import CODES, Name, check_names, choose_names
from filters.scripts import BLOCKS, COUNTED, SCRIPTS, chinese_names, in_scripts, script_names
from filters.texts import Texts

ONE_EACH = {
    "Latn": "Die Mühle", "Cyrl": "Мельница", "Grek": "Ο μύλος", "Arab": "الطاحونة", "Hebr": "הטחנה", "Deva": "चक्की", "Thai": "โรงสี", "Hang": "방앗간",
    "Jpan": "製粉所の石", "Hans": "这是简体字", "Hant": "這是繁體字", "Hani": "山水", "Geor": "წისქვილი", "Zyyy": "1 + 1 = 2 😀", "Zzzz": "ᚠᚢᚦ",
}  # fmt: skip


def column(texts):
    return Texts(pa.array(texts, pa.large_string()))


@pytest.mark.parametrize("script", ONE_EACH)
def test_one_text_each(script):
    assert script_names(in_scripts(column([ONE_EACH[script], None, ""]))) == [script, "Zyyy", "Zyyy"]
    assert script in SCRIPTS


def plain(text):
    counts = dict.fromkeys(COUNTED, 0)
    for character in filter(str.isalpha, text):
        code = ord(character)
        name = next((n for n, spans in BLOCKS.items() if any(a <= code < b for a, b in spans)), "Zzzz")
        if name == "Hani":
            sets = [character.encode(each, "ignore") != b"" for each in ("gb2312", "big5")]
            name = {(True, False): "Hans", (False, True): "Hant"}.get(tuple(sets), name)
        counts[name] += 3 if name in ("Hani", "Hans", "Hant", "Kana", "Hang") else 1
    return list(counts.values())


@given(
    st.lists(
        st.lists(st.sampled_from([*ONE_EACH.values(), "a", "龍龙", " ", "ー"])).map("".join) | st.text(), max_size=3
    )
)
def test_counts_have_a_plain_twin(texts):
    assert in_scripts(column(texts)).tolist() == [plain(text) for text in texts]


def test_more_letters_win_and_han_weigh_three():
    counts = in_scripts(column(["abc 这是简", "abcdefghijkl 这是简", "这是简 の"]))
    assert script_names(counts) == ["Hans", "Latn", "Jpan"]
    assert chinese_names(counts)[:2] == ["Hans", "Hans"]


@pytest.mark.shared
def test_sentences_of_known_scripts(shared_data):
    with gzip.open(shared_data / "langid/common_voice_300.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = script_names(in_scripts(column([row["text"] for row in rows])))
    for lang, right in (
        ("zh-CN", "Hans"),
        ("zh-TW", "Hant"),
        ("ja", "Jpan"),
        ("ko", "Hang"),
        ("ru", "Cyrl"),
        ("ar", "Arab"),
        ("de", "Latn"),
    ):
        mine = [script for row, script in zip(rows, found, strict=True) if row["lang"] == lang and script != "Hani"]
        assert np.mean([script == right for script in mine]) >= 0.99, lang


@pytest.mark.parametrize(
    ("name", "label", "means", "asks"),
    [
        ("en", "en", True, False),
        ("en", "eng_Latn", True, False),
        ("eng_Latn", "eng_Latn", True, False),
        ("eng", "eng_Latn", True, False),
        ("en_Latn", "eng_Latn", True, False),
        ("en_Cyrl", "eng_Latn", False, True),
        ("en", "deu_Latn", False, False),
        ("eng", "en", False, False),
        ("ar", "arb_Arab", True, False),
        ("zh", "cmn_Hani", True, False),
        ("zh_Hans", "zho_Hans", True, False),
        ("zh_Hans", "zho_Hant", False, True),
        ("zh_Hans", "zh", True, True),
        ("zh_Hant", "cmn_Hani", True, True),
        ("sr_Cyrl", "sr", True, True),
    ],
)
def test_names_and_labels(name, label, means, asks):
    assert Name.of(name).means(Name.of(label)) is means
    assert Name.of(name).asks_script(Name.of(label)) is asks


def test_the_most_exact_name_comes_first():
    assert [name.text for name in choose_names(["en", "eng_Latn", "en_Latn", "de"], "eng_Latn")] == [
        "eng_Latn",
        "en_Latn",
        "en",
    ]
    assert len(CODES) > 180 and all(len(code) == 2 and codes for code, codes in CODES.items())


@pytest.mark.parametrize(
    ("wanted", "letter"),
    [
        (["zh_Hanz"], "names no script that is known, did you mean 'Han"),
        (["zz"], "no language 'zz'"),
        (["fr"], "no language 'fr'"),
        ([], "empty list"),
    ],
)
def test_wrong_names_get_a_letter(wanted, letter):
    with pytest.raises(ValueError, match=letter):
        check_names(wanted, ["en", "zh", "deu_Latn"])


def test_simplified_and_traditional_with_the_packaged_model():
    simplified, traditional = (
        "磨坊主慢慢地磨着麦子，面粉从石头之间流出来。",
        "磨坊主慢慢地磨著麥子，麵粉從石頭之間流出來。",
    )
    table = pa.table(
        {"text": pa.array([simplified, traditional, simplified + " std::vector<int> numbers(128);"], pa.large_string())}
    )
    out, why = language(in_=["zh_Hans"])(table)
    assert out["lang"].to_pylist() == ["zh_Hans", "zh_Hant", "zh_Hans"]
    assert [each and (each["reason"], each["detail"]) for each in why.to_pylist()] == [
        None,
        ("language", "zh_Hant"),
        None,
    ]
    out, why = language(in_=["zh", "zh_Hant"])(table)
    assert out["lang"].to_pylist() == ["zh", "zh_Hant", "zh"] and why.null_count == 3


def test_script_and_second_language_are_recorded():
    given = [None, '{"a":1}', '{"script":"x","b":{}}', "{}"]
    texts = ["The mill grinds slowly.", "Мельница мелет медленно.", "这是简体字的文章。", ""]
    table = pa.table({"text": pa.array(texts, pa.large_string()), "metadata": pa.array(given, pa.large_string())})
    out, why = language(script=True, second=True)(table)
    found = [json.loads(each) for each in out["metadata"].to_pylist()]
    assert [each["script"] for each in found] == ["Latn", "Cyrl", "Hans", "Zyyy"]
    assert found[1]["a"] == 1 and found[2]["b"] == {} and found[3]["second_language"] == "und"
    assert all(each["second_language"] != out["lang"][row].as_py() for row, each in enumerate(found[:3]))
    scores = out["signal.second_language_score"].to_pylist()
    assert scores[3] == 0 and all(0 < a < b for a, b in zip(scores[:3], out["lang_score"].to_pylist()))
    assert why.null_count == 4
    alone, _ = language(script=True)(table.select(["text"]))
    assert alone["metadata"].to_pylist()[0] == '{"script":"Latn"}'


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with labels as GlotLID and OpenLID have them."""
    import fasttext

    folder = tmp_path_factory.mktemp("labels")
    parts = {
        "eng_Latn": "the mill grinds the corn of the village and the miller sleeps",
        "deu_Latn": "die mühle mahlt das korn für das dorf und der müller schläft",
        "cmn_Hani": "磨坊 磨 着 麦 子 磨 坊 主 睡 着 了 麥 著 麵 粉",
        "srp_Cyrl": "млин меље жито за село и млинар спава",
    }
    rows = [
        f"__label__{label} {' '.join(text.split()[shift:] + text.split()[:shift])}\n"
        for shift in range(9)
        for label, text in parts.items()
    ]
    (folder / "train.txt").write_text("".join(rows * 5), encoding="utf-8")
    made = fasttext.train_supervised(
        str(folder / "train.txt"), dim=8, epoch=60, lr=0.5, minCount=1, minn=1, maxn=3, bucket=500, thread=12, verbose=0
    )
    made.save_model(str(folder / "glot.bin"))
    return str(folder / "glot.bin")


def test_labels_with_a_script(model):
    texts = [
        "the miller grinds the corn",
        "der müller mahlt das korn",
        "磨坊主磨着麦子",
        "磨坊主磨著麥子",
        "млинар меље жито",
    ]
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    out, _ = language(model=model)(table)
    assert out["lang"].to_pylist() == ["eng_Latn", "deu_Latn", "cmn_Hani", "cmn_Hani", "srp_Cyrl"]
    out, why = language(in_=["en", "deu_Latn", "zh_Hant", "sr_Cyrl"], model=model)(table)
    assert out["lang"].to_pylist() == ["en", "deu_Latn", "cmn_Hans", "zh_Hant", "sr_Cyrl"]
    assert [each is None for each in why.to_pylist()] == [True, True, False, True, True]
    with pytest.raises(ValueError, match="no language 'fr'"):
        language(in_=["fr"], model=model)
    with pytest.raises(ValueError, match="no language 'eng_Latm', did you mean 'eng_Latn'"):
        language(in_=["eng_Latm"], model=model)
