"""The dense encoder trained by a round, judged on dev, and used by later indexes."""
