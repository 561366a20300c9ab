"""The demonstration: a synthetic encyclopaedia, and the whole loop on it with a simulated reviewer."""
