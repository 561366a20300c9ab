"""The stored points of a run: one file for each round that is scored."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple

from labeler.ablation.lock import write_json
from labeler.evaluation.pseudo_precision import JudgedAnswer
from labeler.evaluation.scoring import QuestionScore
from labeler.planning.ahead import Ahead
from labeler.replay import Point, Run, Validity

_FILE = "round-{}.json"


def write_point(run: Run, point: Point) -> None:
    """Store where the run stands after a round."""
    rows = {name: [list(astuple(each)) for each in getattr(point, name)] for name in ("scores", "judged")}
    write_json(run.folder / _FILE.format(point.round), asdict(point) | rows)


def points(run: Run) -> list[Point]:
    """The stored points of a run, from round 0 on without a gap."""
    found: list[Point] = []
    while (path := run.folder / _FILE.format(len(found))).is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        scores = tuple(QuestionScore(*row) for row in stored["scores"])
        validity = tuple(Validity(**each) for each in stored.get("validity", ()))
        judged = tuple(JudgedAnswer(*row) for row in stored.get("judged", ()))
        forecasts = tuple(Ahead(**each) for each in stored.get("forecasts", ()))
        rows = {"scores": scores, "validity": validity, "judged": judged, "forecasts": forecasts}
        found.append(Point(**stored | rows))
    return found
