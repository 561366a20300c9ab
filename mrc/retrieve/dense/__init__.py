"""The dense encoder and its vectors."""
