"""Build and tune the retrieval index of a workspace."""
