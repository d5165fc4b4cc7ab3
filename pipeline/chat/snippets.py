"""What trainers must be told of a corpus in a layout: files beside the data, and a line of its card.

    dataset_info.json   LLaMA-Factory: `dataset_dir: OUT`, `dataset: corpus`
    axolotl.yaml        the `datasets:` (and `rl:`) of an Axolotl config
    TRL                 reads the columns by their names; the card says which trainer

Keys are those of LLaMA-Factory's data/README.md, Axolotl's prompt_strategies and TRL's dataset formats. A trainer that cannot read a layout gets no
entry: the card says what to write instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.chat.writing import FORMS

NAME = "corpus"
LLAMA_FACTORY, AXOLOTL = "dataset_info.json", "axolotl.yaml"
OPENAI = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
COLUMNS: dict[tuple[str, str], dict[str, Any]] = {
    ("messages", "messages"): {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": OPENAI},
    ("sharegpt", "sharegpt"): {"formatting": "sharegpt", "columns": {"messages": "conversations"}},
    ("alpaca", "text"): {"columns": {"prompt": "instruction", "query": "input", "response": "output"}},
    ("prompt_completion", "text"): {"columns": {"prompt": "prompt", "response": "completion"}},
    ("question_answer", "text"): {"columns": {"prompt": "question", "response": "answer"}},
    ("preference", "sharegpt"): {
        "formatting": "sharegpt", "ranking": True,
        "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    },
    ("preference", "text"): {
        "ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
    ("kto", "sharegpt"): {"formatting": "sharegpt", "columns": {"messages": "conversations", "kto_tag": "label"}},
    ("kto", "text"): {"columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}},
    ("text", "text"): {"columns": {"prompt": "text"}},
}  # fmt: skip
"""LLaMA-Factory's entry for each layout and form of turns that it reads."""

_PAIR = """rl: dpo
datasets:
  - path: {path}
    split: train
    type: chat_template.default
    field_messages: prompt
    field_chosen: chosen
    field_rejected: rejected
"""
_SHAREGPT = """datasets:
  - path: {path}
    split: train
    type: chat_template
    field_messages: conversations
    message_property_mappings: {{role: from, content: value}}
    roles: {{system: [system], user: [human], assistant: [gpt, function_call], tool: [observation]}}
"""
_FIELDS = """datasets:
  - path: {path}
    split: train
    type: {{field_instruction: %s, field_output: %s, format: "{{instruction}}", no_input_format: "{{instruction}}"}}
"""
AXOLOTL_TYPES: dict[tuple[str, str], str] = {
    (
        "messages",
        "messages",
    ): "datasets:\n  - path: {path}\n    split: train\n    type: chat_template\n    field_messages: messages\n",
    ("sharegpt", "sharegpt"): _SHAREGPT,
    ("alpaca", "text"): "datasets:\n  - path: {path}\n    split: train\n    type: alpaca\n",
    ("prompt_completion", "text"): _FIELDS % ("prompt", "completion"),
    ("question_answer", "text"): _FIELDS % ("question", "answer"),
    ("preference", "messages"): _PAIR,
    ("preference", "text"): _PAIR,
    ("kto", "text"): "rl: kto\ndatasets:\n  - path: {path}\n    split: train\n    type: chatml.ultra\n",
    ("text", "text"): "datasets:\n  - path: {path}\n    split: train\n    type: completion\n    field: text\n",
}
"""Axolotl's entry for each layout and form of turns that it reads."""

TRL: dict[tuple[str, str], str] = {
    ("messages", "messages"): "SFTTrainer",
    ("prompt_completion", "messages"): "SFTTrainer",
    ("prompt_completion", "text"): "SFTTrainer",
    ("preference", "messages"): "DPOTrainer, ORPOTrainer or RewardTrainer",
    ("preference", "text"): "DPOTrainer, ORPOTrainer or RewardTrainer",
    ("kto", "messages"): "KTOTrainer",
    ("kto", "text"): "KTOTrainer",
    ("text", "text"): "SFTTrainer",
}
"""TRL's trainer for each layout and form of turns that it reads."""

LAYOUTS = {
    "LLaMA-Factory": ("sharegpt", "alpaca", "messages"),
    "Axolotl": ("messages", "sharegpt", "alpaca"),
    "TRL": ("messages", "prompt_completion"),
}
"""What a trainer reads of conversations that are in a layout it does not know."""


def llama_factory(layout: dict[str, str], schema: pa.Schema, splits: list[str], format: str) -> dict[str, Any] | None:
    """The content of dataset_info.json: an entry for each split that has rows; None if LLaMA-Factory reads no such
    files."""
    entry = COLUMNS.get((layout["name"], layout["turns"]))
    if entry is None or format not in ("jsonl", "parquet"):
        return None
    named = dict(entry["columns"])
    named |= {key: key for key in ("system", "tools", "history") if key in schema.names}
    return {
        (NAME if number == 0 else f"{NAME}_{split}"): {"file_name": split, **entry, "columns": named}
        for number, split in enumerate(splits)
    }


def axolotl(layout: dict[str, str], format: str) -> str | None:
    """The content of axolotl.yaml; None if Axolotl reads no such layout."""
    entry = AXOLOTL_TYPES.get((layout["name"], layout["turns"]))
    return f"# path: where this folder lies\n{entry.format(path='.')}" if entry else None


def files(layout: dict[str, str], schema: pa.Schema, splits: list[str], format: str) -> dict[str, str]:
    """Name -> content of what is written beside the data."""
    info, config = llama_factory(layout, schema, splits, format), axolotl(layout, format)
    found = {LLAMA_FACTORY: json.dumps(info, indent=1) + "\n"} if info else {}
    return {**found, **({AXOLOTL: config} if config else {})}


def card_lines(layout: dict[str, str], schema: pa.Schema, splits: list[str], format: str) -> list[str]:
    """The section of the card that says how to train on the corpus."""
    written = files(layout, schema, splits, format)
    trainer = TRL.get((layout["name"], layout["turns"]))
    lines = ["", "## Training", "", f"Layout `{layout['name']}`, turns as {layout['turns']}.", ""]
    lines.append(
        f"- TRL: `{trainer}` with `train_dataset=datasets.load_dataset(FOLDER, split='{splits[0] if splits else 'train'}')`."
        if trainer
        else f"- TRL does not read this layout; write {_instead('TRL', TRL, layout['name'])}."
    )
    if LLAMA_FACTORY in written:
        lines.append(f"- LLaMA-Factory: `dataset_dir: FOLDER`, `dataset: {NAME}` (`{LLAMA_FACTORY}`).")
    elif (layout["name"], layout["turns"]) in COLUMNS:
        lines.append("- LLaMA-Factory reads files named .jsonl or .parquet; write `format: jsonl` or `parquet`.")
    else:
        lines.append(
            f"- LLaMA-Factory does not read this layout; write {_instead('LLaMA-Factory', COLUMNS, layout['name'])}."
        )
    lines.append(
        f"- Axolotl: take over `{AXOLOTL}`, with this folder as `path`."
        if AXOLOTL in written
        else f"- Axolotl does not read this layout; write {_instead('Axolotl', AXOLOTL_TYPES, layout['name'])}."
    )
    return lines


def _instead(trainer: str, reads: Mapping[tuple[str, str], Any], layout: str) -> str:
    """What to write for a trainer: the same layout with other turns where it reads that, else another one."""
    turns = [form for form in FORMS[layout] if (layout, form) in reads]
    kind, names = ("turns", turns) if turns else ("layout", list(LAYOUTS[trainer]))
    return " or ".join(f"`{kind}: {name}`" for name in names)
