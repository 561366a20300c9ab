"""Rounds: predict, calibrate, select, review, record, retrain, judge. `machine` says which step follows which."""
