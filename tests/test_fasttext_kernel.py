"""The fastText kernel against the fastText library: every kind of model, real text, generated text, edges; and broken files."""

import gzip
import json
import threading
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.fasttext_model import read_model
from filters.language import identify
from filters.plain_language import identify_plain, library_model, predict_plain
from filters.texts import Texts

LID = str(resources.files("filters.models") / "lid.176.ftz")
DEMO = Path(__file__).parent.parent / "configs" / "demo"

# name: options of train_supervised, options of quantize (None: not quantised)
KINDS: dict[str, tuple[dict, dict | None]] = {
    "softmax": ({"dim": 16}, None),
    "softmax_characters": ({"dim": 20, "minn": 2, "maxn": 4, "bucket": 5000}, None),
    "softmax_one_character": ({"dim": 8, "minn": 1, "maxn": 1, "bucket": 99}, None),
    "softmax_words": ({"dim": 33, "wordNgrams": 3, "bucket": 3000}, None),
    "softmax_both": ({"dim": 10, "wordNgrams": 2, "minn": 3, "maxn": 5, "bucket": 4096}, None),
    "softmax_no_end": ({"dim": 5, "minCount": 500, "minn": 3, "maxn": 3, "bucket": 1000}, None),
    "tree": ({"dim": 16, "loss": "hs"}, None),
    "tree_both": ({"dim": 17, "loss": "hs", "wordNgrams": 2, "minn": 2, "maxn": 3, "bucket": 777}, None),
    "ova": ({"dim": 12, "loss": "ova", "minn": 2, "maxn": 3, "bucket": 2000}, None),
    "ns": ({"dim": 12, "loss": "ns", "wordNgrams": 2, "bucket": 2000}, None),
    "quantised": ({"dim": 10, "minn": 2, "maxn": 4, "bucket": 5000}, {"dsub": 3}),
    "quantised_norms": ({"dim": 16, "wordNgrams": 2, "bucket": 5000}, {"qnorm": True}),
    "pruned": ({"dim": 16, "minn": 2, "maxn": 4, "bucket": 5000}, {"cutoff": 1500, "qnorm": True}),
    "pruned_tree": ({"dim": 9, "loss": "hs", "minn": 1, "maxn": 3, "wordNgrams": 2, "bucket": 5001}, {"cutoff": 900}),
    "pruned_words_only": ({"dim": 8, "minn": 2, "maxn": 3, "bucket": 9}, {"cutoff": 300}),
    "quantised_output": (
        {"dim": 16, "minn": 2, "maxn": 3, "bucket": 2000, "many": True},
        {"qout": True, "qnorm": True},
    ),
    "quantised_tree_output": ({"dim": 16, "loss": "hs", "bucket": 2000, "wordNgrams": 2, "many": True}, {"qout": True}),
}

EDGES = [
    "",
    " ",
    " \t\n\v\f\r\0 ",
    "a",
    "\0a\0b",
    "one\ntwo\r\nthree",
    "the </s> mill",
    "</s>",
    "__label__en the mill",
    "__label__never_seen the mill",
    "__label",
    "<the> > <",
    "x" * 100_000,
    "ß" * 33 + " " + "ß" * 16 + " " + "磨" * 11,
    "the mill " * 600,
    "\u0085 \u2028 \u3000 \u00a0",
    "\U0001f600 \u0301 \ufeff \uffff",
    "".join(map(chr, [*range(1, 0xD800, 7), *range(0xE000, 0x110000, 101)])),
]


@pytest.fixture(scope="module")
def sentences():
    """(line, language) of real documents in nine languages."""
    with gzip.open(DEMO / "docs_0.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    found = [(line, each["lang"]) for each in documents for line in each["text"].splitlines() if line.strip()]
    return found[::4]


@pytest.fixture(scope="module")
def make(tmp_path_factory, sentences):
    """A function from a kind's name to the path of such a model, trained once."""
    folder = tmp_path_factory.mktemp("models")

    def train(kind):
        import fasttext

        path = folder / f"{kind}.bin"
        if path.exists():
            return str(path)
        options, quantisation = dict(KINDS[kind][0]), KINDS[kind][1]
        many = options.pop("many", False)  # a quantised output needs 256 labels
        lines = [
            f"__label__{f'l{number % 300}' if many else label} {text}" for number, (text, label) in enumerate(sentences)
        ]
        (folder / "train.txt").write_text("\n".join(lines) + "\n", "utf-8")
        # 12 threads: with fewer than 11 the library leaves a part of the matrix as it finds the memory
        settled = {"epoch": 3, "lr": 0.1, "minCount": 1, "thread": 12, "verbose": 0, **options}
        model = fasttext.train_supervised(str(folder / "train.txt"), **settled)
        if quantisation is not None:
            model.quantize(**quantisation)
        model.save_model(str(path))
        return str(path)

    return train


def slack(text):
    """How far a probability may be from the library's.

    The cache adds up a word before the text, the library all from left to right: other roundings of float32, one a
    feature, and all of the same sign where a text of some kB repeats two words. (Models differ from training to training:
    threads.)
    """
    return 1e-5 * min(max(1.0, len(text.encode()) / 1000), 7.0)


def assert_same(path, texts, k):
    """Labels and probabilities are the library's. Where two probabilities are as good as equal, either label may come first."""
    model = read_model(path)
    found, probabilities = model.predict(pa.array(texts, pa.large_string()), k)
    for row, text in enumerate(texts):
        names, expected = predict_plain(path, text, k + 1)  # one more, which the last one asked for may be equal to
        behind = expected[k:] or [-1.0]
        names, expected = names[:k], expected[:k]
        assert (found[row] >= 0).sum() == len(names), text[:80]
        assert np.abs(probabilities[row, : len(names)] - expected).max(initial=0) < slack(text), text[:80]
        gaps = np.abs(np.diff([*expected, *behind]))
        equal = 2 * slack(text)
        clear = [gap > equal and (at == 0 or gaps[at - 1] > equal) for at, gap in enumerate(gaps)]
        wrong = [at for at, name in enumerate(names) if model.labels[found[row, at]] != name and clear[at]]
        assert not wrong, (text[:80], names, found[row], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model(make, sentences, kind):
    path = make(kind)
    texts = [text for text, _ in sentences[:150]] + EDGES
    joined = [" ".join(text for text, _ in sentences[at : at + 60]) for at in range(0, 600, 60)]
    assert_same(path, texts + joined, 1)
    assert_same(path, texts[:60] + EDGES, 5)


def test_labels_are_those_of_the_library(make):
    for kind in ("tree", "pruned"):
        names = library_model(make(kind)).get_labels()
        assert [f"__label__{name}" for name in read_model(make(kind)).labels] == names


@pytest.mark.parametrize("kind", ["softmax_both", "pruned_tree", "ova"])
def test_generated_text(make, kind):
    path = make(kind)
    model = read_model(path)
    words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    spaced = st.lists(st.sampled_from(["the", "mühle", "</s>", "__label__en", "磨"]) | words).map(" ".join)

    @settings(max_examples=60)
    @given(st.lists(words | spaced, max_size=6))
    def check(texts):
        _, probabilities = model.predict(pa.array(texts, pa.large_string()), 2)
        for row, text in enumerate(texts):
            _, expected = predict_plain(path, text, 2)
            assert np.abs(probabilities[row, : len(expected)] - expected).max(initial=0) < 1e-5

    check()


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_identify_is_its_twin(texts):
    found, scores = identify(Texts(pa.array(texts, pa.string())))
    expected, probabilities = identify_plain(Texts(pa.array(texts, pa.string())), LID)
    assert found == expected and np.abs(scores - probabilities).max(initial=0) < 1e-5


def test_edges_of_language_identification():
    assert_same(LID, EDGES, 1)
    assert_same(LID, EDGES, 5)


def test_words_across_windows():
    texts = ["a" * shift + " mill mühle" * 400 for shift in range(1, 14)]
    spaced = [
        " " * shift + text for text in ("mill" + " " * 4091, "m " * 2048, "x" * 4097, "x" * 4096) for shift in range(3)
    ]
    ended = ["word " * many + "</s> das ist nicht mehr da" for many in (818, 819, 820)]
    assert_same(LID, texts + spaced + ended, 2)


def test_slices_chunks_nulls_and_types():
    texts = ["Die Mühle mahlt.", None, "", "The mill grinds.", "Le moulin tourne."]
    model = read_model(LID)
    expected = model.predict(pa.array([text or "" for text in texts]))[0].tolist()
    whole = pa.array(texts, pa.large_string())
    assert model.predict(whole)[0].tolist() == expected
    assert model.predict(whole[3:])[0].tolist() == expected[3:]
    assert model.predict(pa.array(texts)[1:4])[0].tolist() == expected[1:4]
    assert model.predict(pa.chunked_array([whole[:2], whole[2:]]))[0].tolist() == expected
    assert model.predict(pa.chunked_array([whole]))[0].tolist() == expected
    assert model.predict(pa.array([None, None], pa.null()))[0].tolist() == [expected[2]] * 2
    assert model.predict(pa.array([], pa.string()))[0].shape == (0, 1)
    assert model.predict(pa.chunked_array([], pa.string()), 3)[0].shape == (0, 3)


def test_what_was_seen_before_does_not_matter(sentences):
    texts = pa.array([text for text, _ in sentences[:400]])
    one, other = read_model(LID), read_model(LID)
    first = one.predict(texts)
    again = one.predict(texts)
    alone = [other.predict(texts[row : row + 1])[1][0, 0] for row in reversed(range(400))][::-1]
    assert (first[1] == again[1]).all() and (first[0] == again[0]).all()
    assert first[1][:, 0].tolist() == alone


def test_threads_do_not_disturb_each_other(sentences):
    model = read_model(LID)
    texts = pa.array([text for text, _ in sentences])
    expected = model.predict(texts)[1].tolist()
    results: list = [None] * 3

    def work(number):
        results[number] = model.predict(texts)[1].tolist()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


def test_big_matrices_stay_in_the_file(make):
    rows = read_model(make("softmax")).net.rows
    base = rows
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert not base.flags.owndata


@pytest.mark.parametrize("kind", ["softmax_both", "pruned_tree", "quantised_output"])
def test_cut_files(make, tmp_path, kind):
    with open(make(kind), "rb") as stream:
        whole = stream.read()
    cut = tmp_path / "cut.bin"
    for size in sorted({5, 8, 30, 64, 80, 100, 1000, *range(2000, len(whole), len(whole) // 23), len(whole) - 1}):
        cut.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="broken fastText model"):
            read_model(cut)
    cut.write_bytes(whole)
    assert read_model(cut).labels


@pytest.mark.parametrize(
    ("at", "value", "letter"),
    [
        (4, 13, "version 13"),
        (8, -1, "broken"),  # dimensions
        (36, 9, "broken"),  # kind of model
        (64, 1 << 30, "broken"),  # entries of the dictionary
    ],
)
def test_wrong_numbers(make, tmp_path, at, value, letter):
    with open(make("softmax"), "rb") as stream:
        whole = bytearray(stream.read())
    whole[at : at + 4] = value.to_bytes(4, "little", signed=True)
    (tmp_path / "wrong.bin").write_bytes(whole)
    with pytest.raises(ValueError, match=letter):
        read_model(tmp_path / "wrong.bin")


@pytest.mark.shared
def test_language_of_real_documents(shared_data):
    texts = []
    for part in range(4):
        with gzip.open(shared_data / f"text/multilingual_{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines][part::8]
    column = Texts(pa.array(texts, pa.large_string()))
    found, scores = identify(column)
    expected, probabilities = identify_plain(column, LID)
    assert np.mean(np.array(found) == np.array(expected)) >= 0.9999
    assert np.abs(scores - probabilities).max() < 2e-5
