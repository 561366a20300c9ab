"""Forecasts of what a target costs, before anything is spent."""
