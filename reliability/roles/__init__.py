"""The programs that take part, each run in a process of its own by ``child.py``."""
