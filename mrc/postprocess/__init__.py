"""Rules that repair the ends of answer spans."""
