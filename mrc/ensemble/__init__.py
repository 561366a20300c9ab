"""Several readers as one: votes and cascades."""
