"""Training the dense encoder."""
