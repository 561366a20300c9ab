"""What every room rests on: the workspace, its settings and engines, files, errors, progress, the console."""
