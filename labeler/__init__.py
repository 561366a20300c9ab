"""The command line, rounds, reviews and reports: the only place where `mrc` and `db` meet."""

__version__ = "0.1.0"
