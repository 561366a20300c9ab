"""Import: files of every format become passages, questions and labels, split by whole groups."""
