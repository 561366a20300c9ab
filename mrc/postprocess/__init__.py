"""Rules that repair the ends of answer spans."""

from typing import Final

RULES: Final = ("josa", "units", "brackets")  # of `rules`, in the order in which they are applied
