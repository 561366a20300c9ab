"""The report: one HTML page that needs no network, made from the database.

`data` names its contents; `gather`, `dataset`, `rounds` and `precision` read them, `errors` analyses wrong answers;
`curves`, `plots` and `svg` draw; `page` and the templates lay it out.
"""

from labeler.report.page import build, write_report

__all__ = ["build", "write_report"]
