"""The report: one HTML page that needs no network, made from the database alone.

`data.py` names what it says; `gather.py` and `lines.py` read that, `misses.py` explains wrong answers; `plots.py` draws
and `svg.py` makes the drawings part of the page; `page.py`, `page.html` and `style.html` lay it out.
"""

from labeler.report.page import build, write_report

__all__ = ["build", "write_report"]
