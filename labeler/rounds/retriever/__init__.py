"""The dense encoder in the loop: trained by a round, judged on dev, and used by later indexes."""
