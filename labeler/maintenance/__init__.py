"""Status of a workspace, checks of the machine, and pruning."""
