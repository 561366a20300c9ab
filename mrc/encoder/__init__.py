"""Hugging Face encoders: loading checkpoints; devices, precision, threads and batches."""
