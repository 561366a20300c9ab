"""Labels edited by hand, and exported."""
