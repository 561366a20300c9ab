"""The report in a browser, as wide as a monitor and a phone. Screenshots go to SCREENSHOTS or build/screenshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labeler.report.page import render
from tests.reports import a_report
from tests.services import require

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
READABLE = 9.0  # pixels: the least height of a line of text in a plot


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = require("Chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The report of four rounds, opened at a width and in a colour scheme."""
    width, scheme = request.param
    file = tmp_path / "report.html"
    file.write_text(render(a_report(), made_at=datetime(2026, 1, 1, tzinfo=UTC)), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(file.as_uri())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SCREENSHOTS / f"report-{width}-{scheme}.png", full_page=True)
    yield opened
    context.close()


def test_the_page_is_not_wider_than_the_screen(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_text_in_plots_is_readable(page: Any) -> None:
    heights = page.eval_on_selector_all("svg.plot text", "texts => texts.map(t => t.getBoundingClientRect().height)")
    assert len(heights) > 50
    assert min(heights) >= READABLE


def test_a_table_that_is_wider_than_the_screen_scrolls_to_its_last_column(page: Any) -> None:
    reached = page.eval_on_selector_all(
        ".wide",
        """boxes => boxes.map(box => {
            box.scrollLeft = box.scrollWidth;
            const table = box.querySelector('table').getBoundingClientRect();
            return table.right - box.getBoundingClientRect().right;
        })""",
    )
    assert max(reached) <= 1


@pytest.mark.parametrize("page", [(1280, "light")], indirect=True)
def test_status_alarms_and_next_step_are_on_the_first_screen(page: Any) -> None:
    bottoms = [page.locator(place).bounding_box() for place in ("#alarms", "#next", ".cards")]
    assert all(box["y"] + box["height"] < 900 for box in bottoms)
