"""Matplotlib drawings as inline SVG with the page's font and colours, in light and dark.

Source of the colours: Okabe and Ito 2008, distinguishable for colour-blind people.
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
from matplotlib.ticker import FuncFormatter, MaxNLocator

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
        """The drawing as an inline `<svg>`: its ids start with `name-`, `description` is for screen readers."""
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context({"svg.hashsalt": name}):  # ids depend on the content alone: equal data, equal bytes
            self.figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
        return Markup(inline(buffer.getvalue(), name=name, description=description))


@contextmanager
def drawing(width: float, height: float) -> Iterator[Drawing]:
    """A drawing in the report's style, `width` by `height` inches.

    Up to 4.6 inches its text stays readable on a phone, to whose width the page shrinks it.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield Drawing(figure, figure.add_subplot())


def inline(svg: str, *, name: str, description: str) -> str:
    """A matplotlib SVG file as part of a page with others: unique ids, the page's font and colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)  # would apply to the whole page
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


def percent_axis(*axes: Any) -> None:
    """Show rates 0-1 on these axes as percent."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{round(100 * rate, 1):g}"))


def integer_axis(axis: Any) -> None:
    """Put at most six ticks on this axis, at integers."""
    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
