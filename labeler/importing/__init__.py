"""Import files of every format as passages, questions and labels, split by whole groups."""
