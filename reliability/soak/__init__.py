"""A mixed load for minutes or hours, with restarts and all that scenarios do; ``run.py`` runs it."""
