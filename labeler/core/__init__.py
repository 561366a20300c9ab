"""The base of all rooms: workspace, settings, runtime, files, errors, progress and console."""
