"""Classifiers as signals and steps, and training them: figures, split, letters."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from filters.classifier import classifier, fasttext_signal
from filters.plain_language import predict_plain
from filters.texts import Texts
from filters.train import _is_held_out, _one_line, train

DEMO = Path(__file__).parent.parent / "configs" / "demo" / "docs_0.jsonl.gz"
SMALL = {"epoch": 15, "dim": 10, "lr": 0.5, "minn": 2, "maxn": 3, "bucket": 5000}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Lines of real documents: is it Chinese or not?"""
    with gzip.open(DEMO, "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    path = tmp_path_factory.mktemp("labelled") / "lines.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for each in documents:
            for line in each["text"].splitlines()[:40]:
                if len(line) > 20 and not line.isascii():
                    label = "zh" if each["lang"].startswith("zh") else "other"
                    stream.write(json.dumps({"line": line, "kind": label}) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    model = str(tmp_path_factory.mktemp("model") / "chinese.bin")
    return model, train(labelled, "line", "kind", model, held_out=0.2, **SMALL)


TEXTS = ["这是一个很长的句子，用来测试模型。", "Das ist ein langer Satz, mit Umlauten: öäü.", None, ""]


def test_figures_of_a_training(trained, labelled):
    _, figures = trained
    rows = len(Path(labelled).read_text("utf-8").splitlines())
    assert figures["train"] + figures["held_out"] == rows and 0.1 < figures["held_out"] / rows < 0.3
    assert set(figures["labels"]) == {"zh", "other"}
    assert sum(each["held_out"] for each in figures["labels"].values()) == figures["held_out"]
    for each in figures["labels"].values():
        assert each["f1"] > 0.8
        recalls = [row["recall"] for row in each["thresholds"]]
        assert recalls == sorted(recalls, reverse=True) and len(recalls) == 19


def test_the_split_depends_on_text_and_seed_alone(labelled):
    lines = [json.loads(line)["line"] for line in Path(labelled).read_text("utf-8").splitlines()]
    first = [_is_held_out(line, 0.2, 0) for line in lines]
    assert first == [_is_held_out(line, 0.2, 0) for line in lines]
    assert first != [_is_held_out(line, 0.2, 1) for line in lines]
    assert all(_is_held_out(line, 0.3, 0) for line, out in zip(lines, first) if out)


def test_training_and_prediction_see_the_same_words(trained):
    model, _ = trained
    text = " 一\n二\0three\u3000four __label__zh five </s> six "
    assert _one_line(text) == "一 二 three\u3000four five"
    assert predict_plain(model, text, 1) == predict_plain(model, _one_line(text), 1)


def test_the_signal_is_the_probability_of_the_label(trained):
    model, _ = trained
    values = fasttext_signal(model, "zh")(Texts(pa.array(TEXTS)))
    for text, value in zip(TEXTS, values):
        names, probabilities = predict_plain(model, text or "", 2)
        assert value == pytest.approx(min(1.0, probabilities[names.index("zh")]), abs=1e-5)
    assert values.dtype == np.float64 and values[0] > 0.5 > values[1]
    assert (values == fasttext_signal(model, "__label__zh")(Texts(pa.array(TEXTS)))).all()


def test_the_step_keeps_what_is_between_the_bounds(trained):
    model, _ = trained
    table = pa.table({"text": pa.array(TEXTS, pa.large_string()), "_other": [0, 1, 2, 3]})
    out, reasons = classifier(model=model, label="zh", min=0.5)(table)
    values = out["signal.chinese"].to_pylist()
    assert out["_other"].to_pylist() == [0, 1, 2, 3] and reasons[0].as_py() is None
    assert reasons[1].as_py() == {"reason": "chinese.min", "value": values[1], "threshold": 0.5, "detail": None}
    out, reasons = classifier(model=model, label="zh", max=0.5, name="han")(table)
    assert reasons[0].as_py() == {"reason": "han.max", "value": values[0], "threshold": 0.5, "detail": None}
    assert reasons[1].as_py() is None and out["signal.han"].to_pylist() == values
    assert classifier(model=model, label="zh")(table)[1].null_count == 4
    assert classifier(model=model, label="zh", min=values[1], max=values[0])(table)[1].null_count >= 2
    assert classifier(model=model, label="zh", min=0.5)(table[:0])[0].num_rows == 0


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({"label": "zhh"}, "no label 'zhh', did you mean 'zh'.*it knows other, zh"),
        ({"label": "zh", "min": 50}, "from 0 to 1, not 50"),
        ({"label": "zh", "min": 0.9, "max": 0.1}, "min 0.9 is above max 0.1"),
    ],
)
def test_wrong_options_of_a_classifier(trained, options, letter):
    with pytest.raises(ValueError, match=letter):
        classifier(model=trained[0], **options)


def test_a_classifier_that_is_not_there(trained):
    with pytest.raises(FileNotFoundError, match=r"classifier: .*chines\.bin.*did you mean 'chinese\.bin'"):
        classifier(model=trained[0].replace("chinese", "chines"), label="zh")


def test_a_quantised_model(labelled, tmp_path):
    figures = train(labelled, "line", "kind", str(tmp_path / "m.ftz"), held_out=0.2, **SMALL)
    assert figures["labels"]["zh"]["f1"] > 0.7
    assert fasttext_signal(str(tmp_path / "m.ftz"), "zh")(Texts(pa.array(TEXTS[:1])))[0] > 0.4


@pytest.mark.parametrize(
    ("lines", "options", "letter"),
    [
        ('{"line": "a b", "kind": "x"}\n{"line": \n', {}, "line 2 is not JSON"),
        ('{"lines": "a b", "kind": "x"}\n', {}, "line 1 has no field 'line'.*did you mean 'lines'.*it has lines, kind"),
        ('{"line": "a b", "kind": null}\n', {}, "line 1 has no field 'kind'"),
        ("[1]\n", {}, "it has none"),
        ('{"line": "a b", "kind": "x"}\n', {}, "two labels"),
        ("", {"held_out": 1.5}, "between 0 and 1, not 1.5"),
        ("", {"thread": 4}, "thread must be 11 or more"),
    ],
)
def test_wrong_training_data(tmp_path, lines, options, letter):
    (tmp_path / "d.jsonl").write_text(lines, "utf-8")
    with pytest.raises(ValueError, match=letter):
        train(str(tmp_path / "d.jsonl"), "line", "kind", str(tmp_path / "m.bin"), **options)


def test_the_name_of_the_model(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.bin"):
        train("d.jsonl", "line", "kind", str(tmp_path / "model"))
