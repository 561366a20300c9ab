"""Tasks and reviews, whichever way they come: agreement, statistics, terminal, Label Studio."""
