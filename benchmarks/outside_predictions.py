"""Predictions of a reader from outside on real questions: anchored, evaluated, certified, compared and taught.

    python benchmarks/outside_predictions.py [--updates 200] [--gold 600] [--pool 600] [--outside 1500] [--folder DIR]

SQuADShifts New Wikipedia from LABELER_DATA. Every fourth article is put aside and trains a reader of transformers'
own, by a plain loop that shares no code with this project; it reads the first passages that retrieval finds for each
question of the rest, and its n-best list is written twice: as SQuAD's nbest_predictions.json, texts alone, and as JSON
lines that name passage and offset. Both are imported as labellers. The second one is evaluated, certified by a
simulated audit, compared with the reader of the workspace, and teaches a round, whose student is compared with that
reader. With --folder a run that was stopped goes on with the workspace and the predictions that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import Cost, data_file, labeler, machine, minilm

ASIDE = 4  # every fourth article trains the outside reader
LENGTH, BATCH, NBEST, LONGEST = 256, 8, 5, 30  # tokens of a window, questions of an update, answers, tokens of one


def main() -> None:
    options = _options()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="labeler-outside-"))
    workspace = folder / "workspace"
    where = ("-w", str(workspace))
    if not (workspace / "labeler.toml").exists():
        _prepare(folder, workspace, options)
    if not (folder / "nbest_predictions.json").exists():
        began, spent = time.perf_counter(), time.process_time()
        _predict(folder, workspace, options)
        print(_line("the outside reader", time.perf_counter() - began, time.process_time() - spent, ""), flush=True)
    _import(folder, where)
    evaluated = labeler("evaluate", "--labeller", "spans", "--split", "test", *where)
    _say("evaluate spans", evaluated, _labeller_scores(evaluated.json()))
    certified = labeler("certify", "--labeller", "spans", "--target", str(options.target), "--seed", "1",
                        "--audits", str(options.audits), "--reviewer", "simulated", *where)  # fmt: skip
    document = certified.json()["certificate"]
    _say("certify spans", certified, f"{document['certified']}; {document['why']}")
    _say("train", labeler("train", *where), "the reader of the workspace")
    before = labeler("evaluate", "--split", "test", *where)
    _say("evaluate the reader", before, _scores(before.json()))
    predicted = labeler("predict", *where)
    _say("predict", predicted, "the pool, by that reader")
    compared = labeler("compare", "spans", "current", "--examples", "0", *where)
    _say("compare with current", compared, json.dumps(compared.json()["agreement"]))
    labeler("rounds", "revert", str(predicted.json()["round"]), "--yes", *where)
    _round(where, "round by spans", ("--set", "round.labeller=spans"))
    print(machine())


def _import(folder: Path, where: tuple[str, ...]) -> None:
    """Import both files, and say which share of their answers has a place."""
    for name, file in (("texts", "nbest_predictions.json"), ("spans", "spans.jsonl")):
        cost = labeler("import", str(folder / file), "--as", "predictions", "--labeller", name, *where)
        found = cost.json()
        share = found["anchored"] / max(1, found["predictions"])
        _say(f"import {name}", cost, f"{found['predictions']} answers, {100 * share:.1f} % anchored")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=200, help="of every training")
    parser.add_argument("--gold", type=int, default=600)
    parser.add_argument("--pool", type=int, default=600)
    parser.add_argument("--held-out", type=int, default=300, help="questions of dev, of calibration and of test, each")
    parser.add_argument("--outside", type=int, default=1500, help="questions that train the outside reader, at most")
    parser.add_argument("--asked", type=int, help="questions that the outside reader answers, at most; default: all")
    parser.add_argument("--passages", type=int, default=2, help="that the outside reader reads for a question")
    parser.add_argument("--target", type=float, default=0.6, help="precision to certify")
    parser.add_argument("--audits", type=int, default=150)
    parser.add_argument("--reviews", type=int, default=60, help="of each round, simulated")
    parser.add_argument("--folder", help="folder that keeps everything")
    return parser.parse_args()


def _prepare(folder: Path, workspace: Path, options: argparse.Namespace) -> None:
    """Cut the file in two, and import the larger part."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.loads(data_file("new_wiki_v1.0.json").read_text(encoding="utf-8"))["data"]
    parts = {"outside": data[::ASIDE], "inside": [each for at, each in enumerate(data) if at % ASIDE]}
    for name, articles in parts.items():
        (folder / f"{name}.json").write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    settings = {
        "compute": {"threads": 1},
        "review": {"review_budget": options.reviews},
        "read": {"top_k": options.passages},
        "train": {
            "start": minilm(),
            "max_steps": options.updates,
            "batch_size": BATCH,
            "negatives": 0,
            "learning_rate": 1e-4,
            "head_learning_rate": 5e-4,
        },
    }
    labeler("init", str(workspace), "--language", "en")
    text = (workspace / "labeler.toml").read_text(encoding="utf-8")
    for section, keys in settings.items():
        given = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        text = text.replace(f"[{section}]", f"[{section}]\n{given}\n#", 1)
    (workspace / "labeler.toml").write_text(text, encoding="utf-8")
    held = options.held_out
    split = f"gold={options.gold},calibration={held},dev={held},test={held},pool={options.pool}"
    where = ("-w", str(workspace))
    _say("import", labeler("import", str(folder / "inside.json"), "--split", split, "--seed", "0", *where), split)
    _say("index", labeler("index", *where), "")


def _round(where: tuple[str, ...], what: str, more: tuple[str, ...]) -> None:
    """Run a round with the simulated reviewer, and evaluate the reader after it."""
    cost = labeler("round", "--reviewer", "simulated", *more, *where)
    found = cost.json()
    shown = labeler("rounds", "show", str(found["round"]), *where).json()
    trained = (found["pseudo_precision"] or {}).get("trained", {"items": 0, "rate": None})
    taught = f"{trained['items']} pseudo-labels taught, {100 * (trained['rate'] or 0):.1f} % right"
    _say(what, cost, f"{found['gate']['why']}; {taught}; calibrated: {_fit(shown['calibrator'] or {})}")
    after = labeler("evaluate", "--split", "test", *where)
    _say("evaluate after it", after, _scores(after.json()))


def _predict(folder: Path, workspace: Path, options: argparse.Namespace) -> None:
    """Train the outside reader and write its answers to the questions of the workspace, in id order."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    model = AutoModelForQuestionAnswering.from_pretrained(minilm())
    _train(model, tokenizer, _examples(folder / "outside.json")[: options.outside], options.updates)
    nbest: dict[str, list[dict[str, Any]]] = {}
    asked = islice(_questions(workspace, options.passages), options.asked)
    with (folder / "spans.jsonl").open("w", encoding="utf-8") as lines:
        for key, question, passages in asked:
            found = _answer(model, tokenizer, question, passages)
            nbest[key] = [{"text": text, "probability": score} for text, score, _, _ in found]
            for text, score, passage_id, start in found:
                row = {"id": key, "answer": text, "score": score, "passage_id": passage_id, "start": start}
                lines.write(json.dumps(row) + "\n")
    (folder / "nbest_predictions.json").write_text(json.dumps(nbest), encoding="utf-8")


def _examples(path: Path) -> list[tuple[str, str, str, int]]:
    """Question, context, answer and its offset."""
    return [
        (qa["question"], paragraph["context"], qa["answers"][0]["text"], qa["answers"][0]["answer_start"])
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def _train(model: Any, tokenizer: Any, examples: Sequence[tuple[str, str, str, int]], updates: int) -> None:
    import torch

    rng = np.random.default_rng(0)
    rates = {False: 1e-4, True: 5e-4}  # of the encoder and of the head, which starts untrained
    parts = {
        head: [each for name, each in model.named_parameters() if name.startswith("qa_outputs") == head]
        for head in rates
    }
    optimizer = torch.optim.AdamW([{"params": parts[head], "lr": rate, "peak": rate} for head, rate in rates.items()])
    model.train()
    for step in range(updates):
        chosen = [examples[int(at)] for at in rng.integers(0, len(examples), BATCH)]
        batch, offsets = _encoded(tokenizer, [each[:2] for each in chosen])
        places = [_tokens_of(own, at, at + len(text)) for own, (_, _, text, at) in zip(offsets, chosen, strict=True)]
        starts, ends = (torch.tensor([place[side] for place in places]) for side in (0, 1))
        loss = model(**batch, start_positions=starts, end_positions=ends).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, (step + 1) / 20) * (1 - step / updates)
        optimizer.step()
    model.eval()


def _encoded(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> tuple[Any, list[list[tuple[int, int] | None]]]:
    """A batch, and for each token its offsets in the context; None outside of it."""
    batch = tokenizer(
        [question for question, _ in pairs],
        [context for _, context in pairs],
        truncation="only_second",
        max_length=LENGTH,
        padding=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    spans = batch.pop("offset_mapping").tolist()
    offsets = [
        [
            (first, last) if which == 1 else None
            for (first, last), which in zip(own, batch.sequence_ids(row), strict=True)
        ]
        for row, own in enumerate(spans)
    ]
    return batch, offsets


def _tokens_of(offsets: Sequence[tuple[int, int] | None], start: int, end: int) -> tuple[int, int]:
    """The first and the last token of a span; the first token of the window where it was cut off."""
    inside = [at for at, place in enumerate(offsets) if place and place[1] > start and place[0] < end]
    return (inside[0], inside[-1]) if inside else (0, 0)


def _questions(workspace: Path, count: int) -> Iterator[tuple[str, str, list[Any]]]:
    """Id, text and first passages of every question of the workspace."""
    from db import queries
    from labeler.core.runtime import Runtime
    from labeler.core.workspace import open_workspace
    from labeler.labellers.passages import found_passages

    opened = open_workspace(workspace)
    database = opened.database()
    runtime = Runtime(opened, database)
    with database.read() as session:
        questions = queries.questions(session, roles=["pool", "calibration", "dev", "test"])
    found = found_passages(runtime, questions, count=count)
    database.close()
    for question, passages in zip(questions, found, strict=True):
        yield question.id, question.text, passages


def _answer(model: Any, tokenizer: Any, question: str, passages: Sequence[Any]) -> list[tuple[str, float, str, int]]:
    """The best spans of all passages with their shares of one softmax: text, share, passage and offset."""
    import torch

    if not passages:
        return []
    batch, offsets = _encoded(tokenizer, [(question, each.text) for each in passages])
    with torch.inference_mode():
        found = model(**batch)
    spans: list[tuple[float, str, str, int]] = []
    for row, passage in enumerate(passages):
        places = offsets[row]
        first = found.start_logits[row].topk(min(20, len(places))).indices.tolist()
        last = found.end_logits[row].topk(min(20, len(places))).indices.tolist()
        for start in first:
            for end in last:
                if places[start] is None or places[end] is None or not start <= end < start + LONGEST:
                    continue
                at, behind = places[start][0], places[end][1]
                logit = float(found.start_logits[row][start] + found.end_logits[row][end])
                spans.append((logit, passage.text[at:behind], passage.id, at))
    if not spans:
        return []
    shares = np.exp(np.array([logit for logit, *_ in spans]) - max(logit for logit, *_ in spans))
    ranked = sorted(zip((shares / shares.sum()).tolist(), spans, strict=True), key=lambda pair: -pair[0])
    distinct = {(text, passage, at): share for share, (_, text, passage, at) in reversed(ranked) if text.strip()}
    best = sorted(distinct.items(), key=lambda pair: -pair[1])[:NBEST]
    return [(text, round(min(1.0, share), 6), passage, at) for (text, passage, at), share in best]


def _scores(found: dict[str, Any]) -> str:
    part = found["end_to_end"]
    bounds = [f"{100 * each:.1f}" for each in found["intervals"]["end_to_end.exact_match"]]
    return f"EM {100 * part['exact_match']:.1f} [{', '.join(bounds)}], F1 {100 * part['f1']:.1f}"


def _labeller_scores(found: dict[str, Any]) -> str:
    part = found["of_answered"]
    answered = f"{found['answered']} of {found['questions']} answered, of them {found['anchored']} anchored"
    return f"{answered}: EM {100 * part['exact_match']:.1f}, F1 {100 * part['f1']:.1f}; {_fit(found['scores'])}"


def _fit(measures: dict[str, Any]) -> str:
    """How well scores or confidences rank and fit; empty where there are none."""
    kept = ("aurc", "auroc", "ece")
    return ", ".join(f"{name.upper()} {measures[name]:.3f}" for name in kept if name in measures)


def _say(what: str, cost: Cost, result: str) -> None:
    print(_line(what, cost.seconds, cost.cpu_seconds, result), flush=True)


def _line(what: str, seconds: float, cpu_seconds: float, result: str) -> str:
    return f"{what:24s} {seconds:7.1f} s {cpu_seconds:7.1f} CPU s  {result}"


if __name__ == "__main__":
    main()
