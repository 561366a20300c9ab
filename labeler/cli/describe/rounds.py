"""Text of rounds: forecasts, summaries, lists, one round, and the comparison of two. Rates are in percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labeler.cli.describe import counted
from labeler.cli.describe.reviewers import model_review_text
from labeler.core.console import clipped, percent, table

if TYPE_CHECKING:
    from labeler.rounds.forecast import Forecast

_NEXT = {
    "predicted": "next: select questions",
    "in_review": "waiting for reviewers",
    "reviewed": "next: label",
    "labelled": "next: train",
    "trained": "next: evaluate",
    "closed": "closed",
}
_SCORES = {"exact_match": "EM", "f1": "F1"}
_WRITTEN = {"trained_on": "used in training"}
_FIRST_STEP = {"loop": "next: predict", "cold": "next: select questions", "audit": "next: predict"}
_AUDIT = {"predicted": "next: draw the audit", "reviewed": "next: test and certify"}


def stage_text(kind: str, stage: str) -> str:
    """What an open round does next, or that it is closed."""
    if kind == "audit" and stage in _AUDIT:
        return _AUDIT[stage]
    return _FIRST_STEP.get(kind, "next: train") if stage == "open" else _NEXT[stage]


def predicted_text(number: int, predicted: int, before: int, seconds: float) -> str:
    """How many questions were predicted, and the next command."""
    if before == predicted:
        text = f"round {number}: all {predicted} questions were predicted before"
    else:
        already = f", {before} were predicted before" if before else ""
        text = f"round {number}: {predicted - before} questions predicted in {seconds:.0f} s{already}"
    return f"{text} (pool and calibration)\nnext: labeler round"


def forecast_text(found: Forecast) -> str:
    """What the round would read, train and review, and the disk it needs."""
    where = stage_text(found.kind, found.stage) if found.stage else "not open yet"
    facts = (
        ("round", f"{found.round} ({found.kind}), {where}; nothing was changed"),
        ("reading", f"{found.questions} questions, {found.sequences} sequences: {_reading(found)}"),
        ("training", _minutes(found.training_minutes)),
        ("judging", _minutes(found.closing_minutes)),
        ("in all", f"{_minutes(found.minutes)}{'' if found.minutes is None else ', reviews apart'}"),
        *([("budget", subset_text(found.pool_subset))] if found.pool_subset else []),
        ("reviews", f"at most {found.reviews} reviews of {found.tasks} questions, reviewer: {found.reviewer}"),
    )
    disk = found.disk
    space = "not known before the first training"
    if disk.kept is not None and disk.peak is not None:
        space = f"{_size(disk.kept)} kept, {_size(disk.peak)} during training, {_size(disk.free)} free"
    return "\n".join([*(f"{name:<10} {value}" for name, value in facts), f"disk: {space}"])


def _reading(found: Forecast) -> str:
    assumed = found.reading_minutes and not found.timed
    return f"{_minutes(found.reading_minutes)}{', assumed from the pace of training' if assumed else ''}"


def subset_text(found: Mapping[str, Any]) -> str:
    """What the budget of a round takes of the pool and what it leaves out."""
    forecast = found["forecast_minutes"]
    text = f"{found['minutes']:g} minutes"
    if forecast is not None:
        text += f" (forecast: {forecast:.1f})"
    text += f" for {found['read']} of {found['pool']} pool questions; {found['left_out']} are left out"
    return f"{text}; gold labels and reviews alone take longer" if found["exceeded"] else text


def _minutes(value: float | None) -> str:
    return "not known before the first round" if value is None else f"{value:.1f} minutes"


def _size(value: int) -> str:
    return f"{value / 2**20:,.0f} MiB"


def summary_text(found: Mapping[str, Any]) -> str:
    """What a round did: labels, the gate's decision, dev scores, and what it waits for."""
    stage = stage_text(found["kind"], found["stage"])
    lines = [f"round {found['round']} ({found['kind']}): {stage}; labels: {counted(found['labels'])}"]
    if found["labeller"]:
        lines.append(f"  predictions of the labeller {found['labeller']}")
    if found["model_review"]:
        lines.append(f"  {model_review_text(found['model_review'])}")
    if found["gate"]:
        lines += [f"  {line}" for line in gate_lines(found["gate"])]
    lines += [f"  alarm of round {each['round']}: {each['alarm']['message']}" for each in found["alarms"]]
    if again := (found["gate"] or {}).get("retried"):
        lines.append(f"  {_retried(again)}")
    if found["retriever"] and found["retriever"]["gate"]:
        lines.append(f"  retriever {found['retriever']['gate']['why']}")
    if found["pool_subset"]:
        lines.append(f"  budget: {subset_text(found['pool_subset'])}")
    if found["waiting_for"]:
        lines.append(f"  waiting for {found['waiting_for']}")
    if found["gate"]:
        lines.append(scores_table(found["scores"]))
    return "\n".join(lines)


def gate_lines(gate: Mapping[str, Any]) -> Iterator[str]:
    """The gate's decision, and the smallest fall that it could have seen."""
    yield gate["why"]
    yield f"power: {power_text(gate)}"


def power_text(gate: Mapping[str, Any]) -> str:
    """The smallest fall of EM that the gate's test could have seen, and on how many dev questions."""
    seen, questions = gate["minimum_detectable_change"], gate["questions"]
    if seen is None:
        return "no comparison, because there " + ("was no reader before" if questions else "are no dev questions")
    if seen >= 1:
        return f"{questions} dev question{'' if questions == 1 else 's'} cannot show any fall of EM"
    share = f"{100 * gate['power']:g}% of tests"
    return f"on {questions} dev questions a fall of EM by {100 * seen:.1f} points or more is seen in {share}"


def _retried(again: Mapping[str, Any]) -> str:
    """Why the student was trained twice, and which of the two was chosen."""
    scores = " and ".join(f"{percent(each['exact_match'])} %" for each in again["scores"])
    outcome = f"EM {scores} on dev" if len(again["scores"]) == 2 else "the second training failed"
    seeds = " and ".join(map(str, again["seeds"]))
    return f"trained twice, with seeds {seeds}: {again['why']}; {outcome}, seed {again['chosen']} was chosen"


def scores_table(scores: Mapping[str, Any] | None) -> str:
    """Dev EM and F1 of the new reader and of the reader before it, with 95% intervals by document."""
    if not scores:
        return (
            "EM and F1 are not known, because there are no dev questions; add some with: labeler import FILE --as dev"
        )
    rows = [
        (name, *(cell for metric in ("exact_match", "f1") for cell in _score(reader, metric)))
        for name, reader in (("new reader", scores["student"]), ("reader before", scores["before"]))
        if reader is not None
    ]
    return table(("dev", "EM %", "95% interval", "F1 %", "95% interval"), rows)


def _score(reader: Mapping[str, Any], metric: str) -> tuple[str, str]:
    low, high = reader["intervals"][metric]
    return percent(reader[metric]), f"{percent(low)} to {percent(high)}"


def rounds_table(found: Sequence[Mapping[str, Any]]) -> str:
    """A table of rounds."""
    if not found:
        return "no round yet; run: labeler round"
    header = ("round", "kind", "stage", "human", "pseudo", "EM %", "F1 %", "verdict")
    rows = [
        (
            each["round"],
            each["kind"],
            stage_text(each["kind"], each["stage"]),
            *(each["written"][name] for name in ("human", "pseudo")),
            percent((each["gate"] or {}).get("exact_match")),
            percent((each["gate"] or {}).get("f1")),
            each["verdict"],
        )
        for each in found
    ]
    return table(header, rows)


def round_text(found: Mapping[str, Any]) -> str:
    """One round: labels, decision, scores, model, and the settings that differ from the defaults."""
    head = f"round {found['round']} ({found['kind']}): {stage_text(found['kind'], found['stage'])}, {found['verdict']}"
    facts = "\n".join(f"{name:<12} {value}" for name, value in _round_facts(found))
    parts = [f"{head}\n{facts}"]
    if found["gate"]:
        parts.append(scores_table(found["scores"]))
    changed = [(name, _value(value), _value(default)) for name, (default, value) in found["changed_settings"].items()]
    if changed:
        parts.append(table(("setting", "value", "default"), changed))
    return "\n\n".join(parts)


def _round_facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    closed = f", closed {_minute(found['closed_at'])}" if found["closed_at"] else ""
    yield "opened", f"{_minute(found['opened_at'])}{closed} (UTC)"
    yield "labels", counted({_WRITTEN.get(name, name): count for name, count in found["written"].items()})
    if found["pool_subset"]:
        yield "budget", subset_text(found["pool_subset"])
    if found["model_review"]:
        yield "model", model_review_text(found["model_review"])
    release = found["release"]
    if release:
        threshold = release.get("threshold")
        reached = f"confidence >= {percent(threshold)} % reached the target on calibration questions"
        yield "calibration", reached if threshold is not None else release["why"]
    for name, checked in (found["pseudo_precision"] or {}).items():
        if checked["rate"] is not None:
            yield "precision", f"{percent(checked['rate'])} % of {checked['items']} {name} pseudo-labels are correct"
    if found["gate"]:
        yield "gate", found["gate"]["why"]
        yield "power", power_text(found["gate"])
        if found["gate"].get("retried"):
            yield "seeds", _retried(found["gate"]["retried"])
        yield from (("alarm", alarm["message"]) for alarm in found["gate"].get("alarms", ()))
    if found["calibrator"]:
        yield "calibrator", _calibrator(found["calibrator"])
    model = found["model"]
    if model:
        yield "reader", f"{model['path']}, {model['examples']} examples, {model['seconds'] / 60:.1f} minutes"
    retriever = found["retriever"]
    if retriever and retriever["gate"]:
        yield "retriever", retriever["gate"]["why"]
    yield "seed", str(found["seed"])


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def difference_text(found: Mapping[str, Any]) -> str:
    """What differs between two rounds: a table of numbers, settings, and examples of changed pseudo-labels."""
    before, after = found["before"], found["after"]
    rows = [(f"{_SCORES[name]} %", *map(percent, values)) for name, values in found["scores"].items()]
    rows += [(f"labels {_WRITTEN.get(name, name)}", *map(str, values)) for name, values in found["written"].items()]
    rows += [(name, _value(old), _value(new)) for name, (old, new) in found["settings"].items()]
    parts = [table(("", f"round {before}", f"round {after}"), [row for row in rows if row[1] != row[2]])]
    parts.append(f"pseudo-labels: {counted({kind: len(ids) for kind, ids in found['pseudo'].items()})}")
    examples = [
        (each["change"], clipped(each["question"]), _answer(each["before"]), _answer(each["after"]))
        for each in found["examples"]
    ]
    if examples:
        parts.append(table(("change", "question", f"round {before}", f"round {after}"), examples))
    total = sum(map(len, found["pseudo"].values()))
    if total > len(examples):
        parts[-1] += f"\n{len(examples)} of {total} changes; --json lists all ids"
    return "\n\n".join(parts)


def _answer(text: str | None) -> str:
    return "-" if text is None else f"'{clipped(text)}'"


def _value(value: Any) -> str:
    """A setting as labeler.toml has it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def rounds_named(numbers: Sequence[int]) -> str:
    """`round 2`, or `rounds 2, 3`."""
    return f"round{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def reverted_text(found: Mapping[str, Any]) -> str:
    """What reverting rounds changed, and which reader and index are current now."""
    text = (
        f"reverted {rounds_named(found['reverted'])}: "
        f"{found['withdrawn']} labels withdrawn, {found['restored']} restored; current: {found['reader']}"
    )
    if found["next"]:
        return f"{text}\nthe former index is gone or outdated; next: {found['next']}"
    return f"{text}, index {found['index'][:12]}" if found["retrievers"] else text


def _calibrator(found: Mapping[str, Any]) -> str:
    """Kind and quality of a round's calibrator, against the reader's own probability."""
    aurc, (low, high), change = found["aurc"], found["intervals"]["aurc"], found["changes"]["aurc"]
    return (
        f"{found['kind'].replace('_', ' ')}, AURC {aurc:.3f} ({low:.3f} to {high:.3f}) on {found['items']} questions; "
        f"{change[0]:+.3f} ({change[1]:+.3f} to {change[2]:+.3f}) against the reader's own probability"
    )
