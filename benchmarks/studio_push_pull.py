"""Push and pull of 10,000 tasks, against the bare calls of the Label Studio SDK in the same run.

    python benchmarks/studio_push_pull.py [--tasks 10000] [--annotated 2000]

Each task shows three passages of 600 characters; every fourth is blind, the others carry a suggestion of three
candidates. `labeler push` against `import_tasks` of the same batches, `labeler pull` against `tasks.list` of all pages
with all fields; each runs in a separate process, its start and the loading of the SDK included. `--annotated` tasks,
evenly spread, are answered through the API, which takes most of the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measure import Cost, labeler, machine, run
from labeler.review.studio.files import write_tasks
from tests.labeler.studio.people import People, projects, says, stored, truth
from tests.labeler.studio.runtimes import Shape, at, make_runtime
from tests.studio import TestServer, running

BATCH = 500
CACHE = Path(__file__).parent.parent / ".pytest_cache" / "d" / "label-studio"  # shared with the tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--annotated", type=int, default=2_000)
    parser.add_argument("--bare", nargs=4, metavar=("WHAT", "URL", "KEY", "GIVEN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(*options.bare)
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="labeler-studio-"))
    (folder / "server").mkdir()
    with running(folder / "server", CACHE) as server:
        compare(server, folder, Shape(tasks=options.tasks, characters=600, batch=BATCH), annotated=options.annotated)


def compare(server: TestServer, folder: Path, shape: Shape, *, annotated: int) -> None:
    """Print the cost of our commands and of the bare calls."""
    given = {"LABEL_STUDIO_URL": server.url, "LABEL_STUDIO_API_KEY": server.token}
    workspace = make_runtime(folder / "ws", shape)
    with at(workspace) as runtime:
        write_tasks(runtime, folder / "files")
    print(f"{machine()}; {shape.tasks} tasks, {annotated} of them answered", flush=True)
    script = (sys.executable, __file__, "--bare")
    pushed = ours("push", workspace, given)
    print_costs("push", pushed, run([*script, "push", server.url, server.token, str(folder / "files")]))
    began = time.monotonic()
    people = People(server)
    with at(workspace) as runtime:
        answer(people, projects(runtime), annotated, shape.tasks)
        print(f"answered through the API in {time.monotonic() - began:.0f} s", flush=True)
        pulled = ours("pull", workspace, given)
        print_costs("pull", pulled, run([*script, "pull", server.url, server.token, json.dumps(projects(runtime))]))
        same = stored(runtime) == truth(people, runtime)
    again = ours("pull", workspace, given)
    print(f"the next pull: {again.seconds:.1f} s; reviews {pulled.json()['reviews']}, then {again.json()['reviews']}")
    sys.exit(not (same and pushed.json()["pushed"] == shape.tasks and pulled.json()["reviews"] == annotated))


def ours(command: str, workspace: Path, given: dict[str, str]) -> Cost:
    return labeler(command, "--set", f"studio.batch_size={BATCH}", "-w", str(workspace), env=given)


def print_costs(what: str, our: Cost, sdk: Cost) -> None:
    print(
        f"{what}: {our.seconds:.1f} s, {our.peak_mib:.0f} MiB; bare SDK {sdk.seconds:.1f} s, {sdk.peak_mib:.0f} MiB; "
        f"{our.seconds / sdk.seconds:.2f} times as long",
        flush=True,
    )


def answer(people: People, there: list[int], annotated: int, total: int) -> None:
    """Answer `annotated` of all tasks, evenly spread."""
    ids = [task for project in there for task in task_ids(people, project)]
    for turn in range(annotated):
        result = says("no_answer") if turn % 5 == 0 else says("answerable", (1 + turn % 3, turn % 11, turn % 11 + 6))
        people.answer(ids[turn * total // annotated], result)


def task_ids(people: People, project: int) -> list[int]:
    listed = people.call("GET", f"/api/tasks?project={project}&include=id&page_size=100000")
    return sorted(task["id"] for task in listed["tasks"])


def bare(what: str, url: str, key: str, given: str) -> None:
    """The same by the SDK alone. `given`: the folder of the tasks to push, or the projects to pull."""
    import httpx
    from label_studio_sdk import LabelStudio

    sdk = LabelStudio(base_url=url, api_key=key, httpx_client=httpx.Client(timeout=300, trust_env=False))
    if what == "pull":
        print(
            sum(
                1
                for project in json.loads(given)
                for _ in sdk.tasks.list(project=project, fields="all", page_size=BATCH)
            )
        )
        return
    for file in sorted(Path(given).glob("*.json")):
        tasks = json.loads(file.read_text(encoding="utf-8"))
        page = file.with_suffix(".xml").read_text(encoding="utf-8")
        project = sdk.projects.create(title="bare calls", label_config=page)
        for start in range(0, len(tasks), BATCH):
            some = tasks[start : start + BATCH]
            options = {"max_retries": 0}
            sdk.projects.import_tasks(project.id, request=some, return_task_ids=True, request_options=options)


if __name__ == "__main__":
    main()
