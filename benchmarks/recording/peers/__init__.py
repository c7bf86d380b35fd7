"""Ways to record."""
