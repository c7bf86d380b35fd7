"""A mixed load for minutes or hours, with restarts, and what scenarios do beside it."""
