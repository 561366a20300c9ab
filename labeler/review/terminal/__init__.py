"""Review in a terminal, for one person without a server."""
