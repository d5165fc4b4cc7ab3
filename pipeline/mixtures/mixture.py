"""A mixture told: as a table for the terminal and the card, and what is expected of it before a run."""

from __future__ import annotations

from typing import Any

from pipeline.files.commit import finished, read_manifest
from pipeline.job import Job
from pipeline.mixtures.allot import targets
from pipeline.mixtures.mix import ONCE

HEAD = ("bucket", "documents", "held", "planned", "written", "epochs")


def mix_rows(told: dict[str, Any]) -> list[list[str]]:
    """The mixture of a manifest as rows of text, with a head; `written` where something is."""
    rows = [list(HEAD)]
    for name, found in told["buckets"].items():
        written = f"{found['written']:,}" if "written" in found else ""
        numbers = [f"{found[key]:,}" for key in ("documents", "amount", "planned")]
        rows.append([name, *numbers, written, f"{found['epochs']:.3f}"])
    return rows


def mix_lines(told: dict[str, Any]) -> list[str]:
    """The same for a terminal."""
    rows = mix_rows(told)
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    head = f"mixture of {told['split']}{' by ' + '/'.join(told['by']) if told['by'] else ''}, in {told['unit']}"
    return [head, *("  " + "  ".join(_cell(row, widths, at) for at in range(len(HEAD))).rstrip() for row in rows)]


def _cell(row: list[str], widths: list[int], at: int) -> str:
    return row[at].rjust(widths[at]) if at else row[at].ljust(widths[at])


def mix_table(told: dict[str, Any] | None) -> list[str]:
    """The same as Markdown for the card."""
    if not told:
        return []
    head, *rows = mix_rows(told)
    lines = ["", f"Mixture of `{told['split']}`, in {told['unit']}; copies are told apart by `epoch`.", ""]
    return [*lines, f"| {' | '.join(head)} |", "|---" * len(HEAD) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


# -- before a run ----------------------------------------------------------------------------------


def exact(job: Job) -> dict[str, Any] | None:
    """The plan of a run whose documents are all read and compared: exact; None before that."""
    spec = job.publish["mix"]
    if not spec:
        return None
    assigned = 0
    while finished(job.output, f"assign-{assigned}"):
        for task in sorted(finished(job.output, f"mix-{assigned}-1")):
            manifest = read_manifest(job.output, f"mix-{assigned}-1", task)
            if manifest:
                held = {name: (at["documents"], at["amount"]) for name, at in manifest["counts"]["buckets"].items()}
                return expected(job, held)
        assigned += 1  # the mixture comes after the last round
    return None


def expected(job: Job, held: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """What would be written of buckets that hold so many (documents, amount)."""
    spec = job.publish["mix"]
    found = {}
    for name, target in sorted(targets(spec, held).items()):
        documents, amount = held.get(name, (0, 0))
        epochs = target / amount if amount else 0.0
        found[name] = {"documents": documents, "amount": amount, "planned": target, "epochs": round(epochs, 4)}
    return {"split": job.publish["splits"][spec["split"]], "by": spec["by"], "unit": spec["unit"], "buckets": found}


def unmixed(job: Job) -> dict[str, Any]:
    """The publish part of a job whose mixture counts its buckets and writes every document once."""
    spec = job.publish["mix"]
    if not spec:
        return job.publish
    if spec["how"] in ("temperature", "natural"):
        once = {**spec, "how": "temperature", "temperature": 1.0, "total": None}
    else:
        once = {**spec, "how": "epochs", "values": dict.fromkeys(spec["values"], 1.0), "total": None}
    return {**job.publish, "mix": {**once, "rest": 1.0, "max_epochs": ONCE["max_epochs"]}}


def scaled(job: Job, told: dict[str, Any], factor: float) -> dict[str, Any]:
    """What is expected of the whole, from the mixture that a sample of it holds."""
    held = {
        name: (round(found["documents"] * factor), round(found["amount"] * factor))
        for name, found in told["buckets"].items()
        if found["documents"]
    }
    return expected(job, held)
