"""Live suggestions in Label Studio: an ML backend from the current reader, its webhook, and renewed suggestions."""
