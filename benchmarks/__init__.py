"""Measures this package against laplace-server 0.2.0 and what a lab would use instead.

``run.py`` is the command. A suite is a folder: its rows of work, the peers that do it, how they are
measured and what the report shows, behind the interface in ``common/suite.py``. ``common`` knows no
suite. ``native`` holds the compiled programs; ``instructions.py`` counts instead of timing.
"""
