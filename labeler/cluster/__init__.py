"""Work on a Ray cluster: the connection, the folders that travel to its machines, and tasks that are repeated where a
worker dies. Queues, placement and retries are Ray's.

Nothing here writes to the database: results come back to the process that asked.
"""
