"""A matplotlib drawing as inline SVG that follows the page: its font, its colours in light and dark.

Colours are Okabe and Ito's (2008), which colour-blind people tell apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK, GRID, PAPER = "#1a1c1e", "#d9dce0", "#fffffe"
BLUE, ORANGE, GREEN, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
_VARIABLES = {
    INK: "ink",
    GRID: "grid",
    PAPER: "paper",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    RED: "red",
    SKY: "sky",
}

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 1.2,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with its one pair of axes."""

    figure: Any
    axes: Any

    def svg(self, name: str, description: str) -> Markup:
        """The drawing as an inline `<svg>` with ids of its own (`name-…`) and a text for those who cannot see it."""
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context({"svg.hashsalt": name}):  # ids by content alone: equal data, equal bytes
            self.figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
        return Markup(inline(buffer.getvalue(), name=name, description=description))


@contextmanager
def drawing(width: float, height: float) -> Iterator[Drawing]:
    """A drawing in the report's style, `width` by `height` inches; no window, no global state."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield Drawing(figure, figure.add_subplot())


def inline(svg: str, *, name: str, description: str) -> str:
    """A matplotlib SVG file made fit to stand in a page beside others: own ids, the page's font and colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)  # would reach the whole page
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--font)", body)
    for color, variable in _VARIABLES.items():
        body = body.replace(color, f"var(--{variable}, {color})")
    opening, rest = body.split(">", 1)
    width = re.search(r'\bwidth="([^"]*)"', opening)
    opening = re.sub(r'\s*\b(?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", opening)  # HTML needs none of them
    limit = f' style="max-width: {width.group(1)}"' if width else ""
    return f'{opening} class="plot" role="img" aria-label="{escape(description)}"{limit}>{rest}'
