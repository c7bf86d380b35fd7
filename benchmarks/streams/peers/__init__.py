"""Ways to send one stream of updates to many programs: one small module each, used as one would.

A module gives REQUIREMENT (what pip installs; ours has none), CANNOT (fields of ``StreamWork`` that
it has no way for, with the reason), ``produce(work)``, which returns a ``Producer``, and
``subscribe(address, work, ready, take)``. REPEATS says that it may deliver an update twice.
``../process.py`` runs either end as a process of its own.
"""
