"""The reader: network, heads, attention, backends."""
