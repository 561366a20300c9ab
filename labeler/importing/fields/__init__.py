"""Fields of records: their many names, their values as files write them, and lists that Python printed."""
