"""The time of a round: what its parts cost, and the subset of the pool that fits into `round.budget_minutes`."""
