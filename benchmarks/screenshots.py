"""The pictures of README.md: the report and the review page of a workspace, in a headless Chromium.

    python benchmarks/screenshots.py WORKSPACE [-o docs/images] [--budget 20]

WORKSPACE is one with a reader, for example DEMO/workspace of a finished `labeler demo DEMO`. Its report is written;
then a local Label Studio is started, the next round sends its tasks there, and the page of a suggested answer to an
English question is captured. Needs Chromium (python -m tests.services). The workspace is left with that round open:
give a copy.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
from PIL import Image

from benchmarks.measure import labeler

SIZE = {"width": 1280, "height": 800}  # of the browser's window, pixels
WIDTH = 960  # of a picture, pixels
COLORS = 64  # of a picture's palette: text and plots need few


def main() -> None:
    options = _options()
    workspace, output = Path(options.workspace).resolve(), Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    where = ("-w", str(workspace))
    with _browser() as page, tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.html"
        labeler("report", "-o", str(report), "--title", "labeler", *where)
        page.goto(report.as_uri())
        _save(page.screenshot(), output / "report.png")
        started = labeler("studio", "start", *where).json()
        try:
            labeler("round", "--reviewer", "studio", "--review-budget", str(options.budget), *where)
            _open_suggestion(page, workspace, started["url"])
            _save(page.screenshot(), output / "review.png")
        finally:
            labeler("studio", "stop", *where)


@contextmanager
def _browser() -> Iterator[Any]:
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.labeler.studio.test_browser import FLAGS
    from tests.services import browser

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(browser()), args=FLAGS)
        yield chromium.new_page(viewport=SIZE)
        chromium.close()


def _open_suggestion(page: Any, workspace: Path, url: str) -> None:
    """Log in and open the first task with a suggested answer."""
    from labeler.review.studio.server.local import EMAIL, own_server

    server = own_server(workspace)
    assert server is not None
    page.goto(f"{url}/user/login/")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", server.password_file.read_text().strip())
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "/user/login" not in address)
    project, task = _suggested_task(url, server.key())
    page.goto(f"{url}/projects/{project}/data?task={task}")
    page.wait_for_selector(".lb-passage .lsf-richtext__line")
    page.wait_for_selector("button:has-text('Submit'):not([disabled])")
    page.wait_for_timeout(1500)  # marks are drawn after the text


def _suggested_task(url: str, key: str) -> tuple[int, int]:
    """The project and the id of the first task with an English question and a prediction."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Token {key}"}, timeout=60) as api:
        for project in api.get("/api/projects/", params={"page_size": 100}).json()["results"]:
            query = {"project": project["id"], "fields": "all", "page_size": 100}
            for task in api.get("/api/tasks/", params=query).json()["tasks"]:
                if task["predictions"] and task["data"]["question"].isascii():
                    return project["id"], task["id"]
    raise SystemExit("no English task has a suggestion; is there a reader, and are there English questions?")


def _save(png: bytes, path: Path) -> None:
    """Write a small PNG: scaled to WIDTH, with a palette of COLORS."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    small = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)
    small.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace")
    parser.add_argument("-o", "--output", default="docs/images", help="folder of the pictures")
    parser.add_argument("--budget", type=int, default=20, help="tasks of the round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
