"""Exports of Label Studio with random changes, given as reviews: one line, or tasks that are listed as conflicts."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

from labeler.review.studio.files import write_tasks
from tests.commands import run
from tests.labeler.studio.people import says
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.safety.hostile import MOMENT
from tests.safety.import_fuzz import HANG, spoiled


class ReviewSession:
    """A workspace with open tasks, and an export of their annotations to be changed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._template = make_runtime(folder / "template", Shape(tasks=4, characters=60))
        with at(self._template, batch=3) as runtime:
            write_tasks(runtime, folder / "tasks")
        written = sorted((folder / "tasks").glob("*.json"))
        tasks: list[dict[str, Any]] = [each for file in written for each in json.loads(file.read_text("utf-8"))]
        self._export = json.dumps([self._annotated(number, task) for number, task in enumerate(tasks, 1)]).encode()

    def _annotated(self, number: int, task: dict[str, Any]) -> dict[str, Any]:
        annotation = {"id": number, "updated_at": MOMENT, "completed_by": 1, "was_cancelled": False, "lead_time": 2.5}
        result = says("answerable", (1, 4, 9))
        return {
            "id": number,
            "data": task["data"],
            "annotations": [{**annotation, "result": result}],
            "predictions": [],
        }

    def one(self, seed: int) -> None:
        """Import one changed export. Raises AssertionError where it does not end as it must."""
        workspace = self._folder / "ws"
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(self._template, workspace)
        name, content = spoiled("given.json", self._export, random.Random(seed))
        (self._folder / name).write_bytes(content)
        began = time.process_time()
        ran = run("import", self._folder / name, "--as", "reviews", "-w", workspace)
        assert time.process_time() - began < HANG
        assert ran.code in (0, 1), ran.err
        assert "Traceback" not in ran.err, ran.err
        if ran.code:
            assert name in ran.fault
        (self._folder / name).unlink()
