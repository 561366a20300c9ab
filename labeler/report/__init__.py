"""The report: one HTML page that needs no network, made from the database alone.

`data.py` names what it says, `gather.py` reads that, `misses.py` explains wrong answers, `plots.py` draws,
`page.html` and `style.html` lay it out.
"""

from labeler.report.page import build, write_report

__all__ = ["build", "write_report"]
