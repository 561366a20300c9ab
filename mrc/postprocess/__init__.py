"""Post-processing rules for the ends of answer spans."""

from typing import Final

RULES: Final = ("josa", "units", "brackets")  # in the order in which they are applied
