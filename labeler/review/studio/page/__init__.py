"""The review page beyond its layout: candidates to choose by a key, reasons to ask again, and how answers are read."""
