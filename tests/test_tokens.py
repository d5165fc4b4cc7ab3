"""Tokenizer files of three kinds, what is said of broken ones, the signal, and packing against its plain twin."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from corpus import CHECKOUT, DEMO
from hypothesis import given, settings
from hypothesis import strategies as st

import filters.tokens
from filters import SIGNALS, Texts
from filters.registry import get_signal
from filters.rules import measure
from filters.tokenizer_files import KNOWN, PATTERNS, Tokens, describe, open_tokenizer, opened
from kernels.packing import best_fit
from pipeline.commands.train_tokenizer import train_tokenizer
from pipeline.errors import InputError, RecipeError
from pipeline.job import prepare
from pipeline.tokenized.sequences import arrange, marked

DEMO_TOKENIZER = str(CHECKOUT / "configs" / "tokenizers" / "demo.json")
ODD = [
    "",
    "Hello  world\r\n",
    "磨坊主慢慢地磨着麦子。",
    "<|endoftext|>",
    "a\u0301\x00😀\ud7ff",
    "don't 12345 x\n\n\n  y",
    "मिल",
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> str:
    """A .tiktoken file: the bytes and a few merges."""
    tokens = [bytes([n]) for n in range(256)] + [b"th", b"he", b"the", b" the", b"\xe7\xa3\xa8", b"12"]
    file = tmp_path_factory.mktemp("tiktoken") / "small.tiktoken"
    file.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)))
    return str(file)


@pytest.fixture(scope="module")
def piece_model(tmp_path_factory) -> str:
    """A small sentencepiece model, trained here."""
    sentencepiece = pytest.importorskip("sentencepiece")
    out, texts = io.BytesIO(), (DEMO / "README.md").read_text().split("\n") * 3
    options = {"vocab_size": 400, "byte_fallback": True, "hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=out, **options)
    file = tmp_path_factory.mktemp("sentencepiece") / "small.model"
    file.write_bytes(out.getvalue())
    return str(file)


# -- three kinds -----------------------------------------------------------------------------------


def test_huggingface_gives_what_the_library_gives():
    import tokenizers

    tokenizer, library = open_tokenizer(DEMO_TOKENIZER), tokenizers.Tokenizer.from_file(DEMO_TOKENIZER)
    library.encode_special_tokens = True
    found = tokenizer.encode(ODD)
    assert [found.ids[e - n : e].tolist() for e, n in zip(found.ends, found.counts)] == [
        library.encode(text, add_special_tokens=False).ids for text in ODD
    ]
    assert tokenizer.count(ODD).tolist() == found.counts.tolist()
    assert (tokenizer.kind, tokenizer.vocab, tokenizer.id_of("<|endoftext|>")) == ("huggingface", 4000, 0)
    assert 0 not in found.ids  # "<|endoftext|>" in a text is text


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_every_text_comes_back(text):
    tokenizer = open_tokenizer(DEMO_TOKENIZER)
    assert tokenizer.decode(tokenizer.encode([text]).ids) == text


def test_truncation_and_padding_in_the_file_are_switched_off(tmp_path):
    page = json.loads(Path(DEMO_TOKENIZER).read_text())
    page["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    page["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "x",
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(page))
    texts = ["a", "a long text of many words, and some more of them"]
    plain = open_tokenizer(DEMO_TOKENIZER).encode(texts)
    assert open_tokenizer(str(tmp_path / "tokenizer.json")).encode(texts).ids.tolist() == plain.ids.tolist()


@pytest.mark.parametrize("name", PATTERNS)
def test_tiktoken_gives_what_the_library_gives(ranks, name):
    tiktoken = pytest.importorskip("tiktoken")
    merges = {base64.b64decode(line.split()[0]): n for n, line in enumerate(Path(ranks).read_bytes().splitlines())}
    library = tiktoken.Encoding("x", pat_str=PATTERNS[name], mergeable_ranks=merges, special_tokens={})
    tokenizer = open_tokenizer(ranks, name, {"<|endoftext|>": 300})
    found = tokenizer.encode(ODD)
    assert found.ids.tolist() == [token for text in ODD for token in library.encode_ordinary(text)]
    assert (
        tokenizer.count(ODD).tolist() == [len(library.encode_ordinary(text)) for text in ODD] == found.counts.tolist()
    )
    assert (tokenizer.vocab, tokenizer.id_of("<|endoftext|>"), tokenizer.id_of("the")) == (301, 300, None)
    assert tokenizer.decode(found.ids) == "".join(ODD)


def test_known_tiktoken_files_are_those_of_the_library(monkeypatch):
    """Patterns and special tokens are asked of the installed library, without its download."""
    source = pytest.importorskip("tiktoken_ext.openai_public")
    monkeypatch.setattr(source, "load_tiktoken_bpe", lambda url, expected_hash: expected_hash)
    for name in ("r50k_base", "p50k_base", "cl100k_base", "o200k_base"):
        told = getattr(source, name)()
        pattern, special = KNOWN[told["mergeable_ranks"]]
        assert PATTERNS[pattern] == told["pat_str"]
        assert special.items() <= told["special_tokens"].items()


def test_sentencepiece_gives_what_the_library_gives(piece_model):
    import sentencepiece

    tokenizer, library = open_tokenizer(piece_model), sentencepiece.SentencePieceProcessor(model_file=piece_model)
    found = tokenizer.encode(ODD)
    assert found.ids.tolist() == [token for text in ODD for token in library.encode(text)]
    assert tokenizer.count(ODD).tolist() == [len(library.encode(text)) for text in ODD]
    assert (tokenizer.kind, tokenizer.id_of("</s>"), tokenizer.id_of("no such piece")) == ("sentencepiece", 2, None)
    assert tokenizer.decode(library.encode("the demo") and np.array(library.encode("the demo"))) == "the demo"


def test_a_panic_of_the_library_is_an_error_of_one_text():
    class PanicException(BaseException):  # as pyo3's: not an Exception
        pass

    class Library:
        vocab = 9

        def ids(self, texts):
            raise PanicException("stack overflow")

    from filters.tokenizer_files import Tokenizer

    with pytest.raises(ValueError, match="gave up on a text: stack overflow"):
        Tokenizer("x", "", "huggingface", "", Library()).encode(["a"])


# -- letters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "letter"),
    [
        ("gpt2", None, "there is no tokenizer at .*gpt2. Nothing is downloaded"),
        ("tokenizer.json", b'{"version": "1.0"}', "is JSON, but no tokenizer.json"),
        ("tokenizer.json", Path(DEMO_TOKENIZER).read_bytes()[:500], "is JSON, but no tokenizer.json"),
        ("x.model", b"\x00\x01 not a model", "is no tokenizer file .14 bytes"),
        ("x.model", b"", "is no tokenizer file .0 bytes"),
        ("x.tiktoken", b"IQ== 0\nIg== 1\n", "Give tokens: {pattern: NAME} .r50k_base, cl100k_base, o200k_base"),
    ],
)
def test_wrong_files_get_a_letter(tmp_path, name, data, letter):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, OSError), match=letter):
        open_tokenizer(str(tmp_path / name))


@pytest.mark.parametrize(
    ("change", "letter"),
    [
        (lambda lines: lines[:7] + lines[8:], "are not 0 to 260; the file is cut or damaged"),
        (
            lambda lines: [*lines[:3], b"no rank here", *lines[3:]],
            "line 4: expected a token in base64, a space and its rank",
        ),
        (lambda lines: lines[:100], "no token for the byte 0x64"),
    ],
)
def test_damaged_ranks_get_a_letter(tmp_path, ranks, change, letter):
    (tmp_path / "x.tiktoken").write_bytes(b"\n".join(change(Path(ranks).read_bytes().splitlines())))
    with pytest.raises(ValueError, match=letter):
        open_tokenizer(str(tmp_path / "x.tiktoken"), "cl100k_base")


def test_a_folder_names_its_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match=f"is a folder; name the file in it: {tmp_path}/tokenizer.json"):
        open_tokenizer(str(tmp_path))


def test_another_file_than_the_run_began_with(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(Path(DEMO_TOKENIZER).read_bytes())
    described = describe(open_tokenizer(str(file)), None, None)
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="is not the one that the run began with"):
        opened(described)


RECIPE = """input: {{paths: {demo}/docs_1.jsonl.zst}}
steps:
  - keep: {{token_count: {{min: 3}}}}
{tokens}
output: {{path: out, {output}}}
"""
TOKENS = f'tokens: {{tokenizer: {DEMO_TOKENIZER}, eos: "<|endoftext|>"}}'


@pytest.mark.parametrize(
    ("tokens", "output", "letter"),
    [
        ("", "format: jsonl", "token_count needs a tokenizer to count by: tokens: {tokenizer: PATH}"),
        ("tokens: {tokenizer: nowhere.json}", "format: jsonl", "r.yaml:4: there is no tokenizer at nowhere.json"),
        (TOKENS.replace("<|endoftext|>", "<|endoftxt|>"), "format: mds", "did you mean '<|endoftext|>'?"),
        (TOKENS.replace('"<|endoftext|>"', "-1"), "format: mds", "'eos' is -1; an id is a number from 0"),
        (TOKENS, "format: jsonl, pack: {length: 9}", "r.yaml:5: only tokens are packed, and jsonl holds texts"),
        (TOKENS, "format: mds, pack: {length: 9, how: best_fit}", "best_fit fills the rest of each sequence up; say with what"),
        (TOKENS.replace(', eos: "<|endoftext|>"', ""), "format: mds, pack: {length: 9}", "would run into one another without a mark"),
        (TOKENS.replace("}", ", pattern: cl100k_base}"), "format: mds", "is a huggingface file, which holds its own pattern"),
        (TOKENS, "format: megatrn", "did you mean 'megatron'?"),
        (TOKENS, "format: mds, pack: {lenght: 9}", "did you mean 'length'?"),
    ],
)  # fmt: skip
def test_wrong_recipes_get_a_letter(tmp_path, monkeypatch, tokens, output, letter):
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE.format(demo=DEMO, tokens=tokens, output=output))
    with pytest.raises(RecipeError) as error:
        prepare("r.yaml")
    assert letter in str(error.value)


def test_a_format_of_tokens_wants_a_tokenizer(tmp_path):
    (tmp_path / "r.yaml").write_text(f"input: {{paths: {DEMO}/docs_1.jsonl.zst}}\noutput: {{path: out, format: mds}}\n")
    with pytest.raises(RecipeError, match=r"r.yaml:2: mds holds tokens; say whose: tokens: \{tokenizer: PATH"):
        prepare(str(tmp_path / "r.yaml"))


# -- the signal ------------------------------------------------------------------------------------


def test_token_count_counts_and_is_part_of_the_recipe(tmp_path):
    page = tmp_path / "r.yaml"
    page.write_text(RECIPE.format(demo=DEMO, tokens=TOKENS, output="format: jsonl"))
    job, _ = prepare(str(page))
    import hashlib

    assert job.refine["tokenizer"]["sha256"] == hashlib.sha256(Path(DEMO_TOKENIZER).read_bytes()).hexdigest()
    filters.tokens.use(job.refine["tokenizer"])
    try:
        values = measure(get_signal("token_count"), Texts(pa.array([*ODD, None], pa.large_string())))
    finally:
        filters.tokens.use(None)
    assert values.tolist() == [*map(float, open_tokenizer(DEMO_TOKENIZER).count(ODD)), 0.0]
    with pytest.raises(ValueError, match="token_count needs a tokenizer"):
        SIGNALS["token_count"].function(Texts(pa.array(["a"])))


def test_a_tokenizer_that_refine_does_not_use_is_not_part_of_it(tmp_path):
    page = tmp_path / "r.yaml"
    page.write_text(RECIPE.format(demo=DEMO, tokens=TOKENS, output="format: mds").replace("token_count", "word_count"))
    job, _ = prepare(str(page))
    assert job.refine["tokenizer"] is None and job.publish["tokens"]["eos"] == 0


# -- packing ---------------------------------------------------------------------------------------


def plain_best_fit(sizes: list[int], length: int) -> list[int]:
    """The twin: every bin is looked at."""
    room: list[int] = []
    touched: list[int] = []
    bins = []
    for clock, size in enumerate(sizes):
        fitting = [b for b in range(len(room)) if room[b] >= size]
        best = min(fitting, key=lambda b: (room[b], -touched[b]), default=len(room))
        if best == len(room):
            room.append(length)
            touched.append(clock)
        room[best] -= size
        touched[best] = clock
        bins.append(best)
    return bins


@settings(max_examples=100)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), max_size=60))))
def test_best_fit_is_its_plain_twin(case):
    length, sizes = case
    assert best_fit(np.array(sizes, np.int64), length).tolist() == plain_best_fit(sizes, length)


DOCS = st.lists(st.lists(st.integers(2, 9), max_size=12), max_size=12)


def tokens_of(docs: list[list[int]]) -> Tokens:
    ids = np.array([token for doc in docs for token in doc], np.uint32)
    return Tokens(ids, np.cumsum([len(doc) for doc in docs], dtype=np.int64))


@settings(max_examples=100)
@given(DOCS, st.integers(2, 9), st.sampled_from(["concatenate", "best_fit"]), st.booleans())
def test_packing_loses_no_token(docs, length, how, padded):
    pad = 1 if padded or how == "best_fit" else None
    found = arrange(marked(tokens_of(docs), None, 0), {"length": length, "how": how, "pad": pad})
    assert np.diff(found.ends, prepend=0).tolist() == [length] * len(found)
    back: list[list[int]] = [[] for _ in docs]
    order = np.lexsort((found.run_parts, found.run_docs))
    runs = np.stack([found.run_starts, found.run_lengths, found.run_docs], axis=1)[order]
    assert found.run_starts.tolist() == sorted(found.run_starts.tolist())
    for start, size, doc in runs.tolist():
        back[doc] += found.ids[start : start + size].tolist()
        assert how == "concatenate" or size == length or (start % length) + size <= length  # not cut
    whole, got = [[*doc, 0] for doc in docs], [token for doc in back for token in doc]
    assert back == whole if not found.dropped else got == [t for doc in whole for t in doc][: -found.dropped]
    assert found.padding == int((found.ids == 1).sum())
    sizes, ends = found.lengths()
    assert int(sizes.sum()) == int(found.run_lengths.sum()) and len(ends) == len(found)
    if how == "best_fit":  # in the order of the corpus: first documents of the sequences, and documents in each
        firsts = [found.run_docs[np.searchsorted(found.run_starts, at)] for at in found.starts]
        assert firsts == sorted(firsts)


@given(DOCS, st.sampled_from([None, 0]), st.sampled_from([None, 1]))
def test_marks_stand_at_the_ends(docs, bos, eos):
    found = marked(tokens_of(docs), bos, eos)
    wanted = [[*([bos] if bos is not None else []), *doc, *([eos] if eos is not None else [])] for doc in docs]
    assert (found.ids.tolist(), found.counts.tolist()) == (
        [t for doc in wanted for t in doc],
        [len(doc) for doc in wanted],
    )


# -- training --------------------------------------------------------------------------------------


def test_the_demo_tokenizer_is_what_its_readme_says(tmp_path):
    paths = [str(DEMO / "docs_1.jsonl.zst"), str(DEMO / "docs_0.jsonl.gz")]  # in any order
    found = train_tokenizer(paths, str(tmp_path / "t.json"), vocab=4000)
    assert (tmp_path / "t.json").read_bytes() == Path(DEMO_TOKENIZER).read_bytes()
    assert (found["documents"], found["sampled"], found["vocab"]) == (272, 272, 4000)
    assert Path(DEMO_TOKENIZER).stat().st_size < 200_000


def write_texts(file: Path, n: int) -> None:
    words = ["mill", "grain", "flour", "磨坊", "面粉", "Mühle", "stone"]
    lines = [{"id": f"d{i}", "text": " ".join(words[(i * k) % 7] for k in range(1, 20))} for i in range(n)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_training_bpe_is_the_same_in_another_process(tmp_path):
    write_texts(tmp_path / "a.jsonl", 60)
    code = "import sys; from pipeline.commands.train_tokenizer import train_tokenizer as t; t(sys.argv[1:2], sys.argv[2], vocab=320)"
    for out in ("1.json", "2.json"):
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": out[0]}
        command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl"), str(tmp_path / out)]
        subprocess.run(command, env=environment, check=True)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_every_text_comes_back_from_what_is_trained(tmp_path, model):
    write_texts(tmp_path / "a.jsonl", 60)
    found = train_tokenizer(
        [str(tmp_path / "a.jsonl")], str(tmp_path / "t.json"), model=model, vocab=320, special=["<s>", "</s>"]
    )
    tokenizer = open_tokenizer(str(tmp_path / "t.json"))
    assert [tokenizer.decode(tokenizer.encode([text]).ids) for text in ODD] == ODD
    assert (tokenizer.id_of("<s>"), tokenizer.id_of("</s>")) == (0, 1) and found["bytes_per_token"] >= 1


def test_the_sample_is_by_hash_and_grows(tmp_path):
    write_texts(tmp_path / "a.jsonl", 60)
    size = sum(len(json.loads(line)["text"].encode()) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    found = [
        train_tokenizer([str(tmp_path / "a.jsonl")], str(tmp_path / "t.json"), vocab=300, sample=share, seed=seed)
        for share, seed in [(size // 2, 0), (size // 2, 0), (size, 0), (size // 2, 1)]
    ]
    assert found[0] == found[1] and found[2]["sampled"] == 60
    assert found[0]["bytes"] <= size // 2 < found[2]["bytes"] == size
    assert found[3]["sha256"] != found[0]["sha256"]


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({"model": "bpee"}, "--model bpee: expected bpe or unigram, did you mean 'bpe'?"),
        ({"vocab": 100}, "--vocab 100: 256 bytes and 1 special tokens need 258 or more"),
        ({"output": "x.bin"}, "--output x.bin: a tokenizer is a .json file"),
    ],
)
def test_wrong_training_gets_a_letter(tmp_path, options, letter):
    write_texts(tmp_path / "a.jsonl", 3)
    with pytest.raises(InputError) as error:
        train_tokenizer([str(tmp_path / "a.jsonl")], **{"output": str(tmp_path / "t.json"), **options})
    assert letter in str(error.value)
