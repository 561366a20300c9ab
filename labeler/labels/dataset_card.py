"""The card of an exported dataset: how its labels were made, counts, columns; the licence is the user's to fill in.

The front matter follows the dataset cards of the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from labeler.labels.writers import SPLITS, ExportedLabel, split_of
from mrc.analyzers import text_language

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MADE = {
    "gold": "answers of the files that were imported",
    "human": "answers of reviewers: a person read the passages and marked the answer, or that they have none",
    "pseudo": "answers of a model that no person has read; `vouched_by` says whether a certificate covers them",
}

CARD = """---
license: unknown  # fill in: an identifier of https://huggingface.co/docs/hub/repositories-licenses
task_categories:
- question-answering
task_ids:
- extractive-qa
pretty_name: {quoted}
size_categories:
- {size}
{language}---

# {name}

Extractive question answering in the format of SQuAD, exported by labeler. Read it with
`datasets.load_from_disk`; `labeler import FOLDER --split file` imports it again.

## Licence

[Fill in the licence of the passages, of the questions and of the labels. labeler does not know it.]

## How the labels were made

{made}

## Counts

{counts}

Questions without an answer (`is_impossible`): {impossible}. No passage and no question is in two splits, nor are nearly
equal ones.

## Certificates

{certificates}

## Columns

| column | content |
|---|---|
| `id`, `title`, `context`, `question` | as imported, unaltered |
| `answers` | `text` and `answer_start` (code points) of every answer; one given several times is there several times |
| `is_impossible` | the context does not answer the question |
| `role` | role of the question when it was exported: gold, pool, calibration, dev, test |
| `kind` | how the label was made: {kinds} |
| `round`, `model`, `index`, `calibrator`, `threshold`, `confidence`, `reviewer` | provenance; null: there is none |
| `vouched_by`, `certificate` | people, certificate (its id) or nobody |
| `precision_low`, `precision`, `precision_high` | of pseudo-labels: what the certificate guarantees, or an estimate |
"""


def dataset_card(labels: Sequence[ExportedLabel], *, name: str) -> str:
    """Return the README.md of a dataset with these labels."""
    kinds = sorted({label.provenance.kind for label in labels})
    return CARD.format(
        name=name,
        quoted=json.dumps(name, ensure_ascii=False),
        language=_language(label.example.context for label in labels),
        size=next((size for limit, size in SIZES if len(labels) < limit), "n>1M"),
        made="\n".join(f"- **{kind}**: {MADE[kind]}." for kind in kinds),
        counts=_counts(labels, kinds),
        impossible=sum(not label.example.answers for label in labels),
        kinds=", ".join(kinds),
        certificates=_certificates(labels),
    )


def _language(texts: Iterable[str]) -> str:
    """Return the lines of the front matter that name the language, if it is known."""
    found = text_language(texts)
    return "" if found.startswith("und") else f"language:\n- {found}\n"


def _certificates(labels: Sequence[ExportedLabel]) -> str:
    """Return what is certified, and what nobody vouches for."""
    by_id = Counter(one.provenance.certificate for one in labels if one.provenance.vouched_by == "certificate")
    loose = sum(one.provenance.vouched_by == "nobody" for one in labels)
    lines = [
        f"- Certificate `{key}` vouches for {count} pseudo-labels: a random sample of what it covers was answered "
        "blind by people and tested exactly. `labeler certify --verify FILE` recomputes it."
        for key, count in sorted((str(key), count) for key, count in by_id.items())
    ]
    if loose:
        lines.append(f"- Nobody vouches for {loose} pseudo-labels; `precision` is an estimate from blind reviews.")
    return "\n".join(lines) or "None. There are no pseudo-labels among these labels."


def _counts(labels: Sequence[ExportedLabel], kinds: Sequence[str]) -> str:
    """Return a table of the labels by split and kind."""
    found = Counter((split_of(label), label.provenance.kind) for label in labels)
    lines = [f"| split | {' | '.join(kinds)} | all |", "|---|" + "---|" * (len(kinds) + 1)]
    for split in dict.fromkeys(SPLITS.values()):
        row = [found[split, kind] for kind in kinds]
        if sum(row):
            lines.append(f"| {split} | {' | '.join(map(str, row))} | {sum(row)} |")
    return "\n".join(lines)
