"""Does to servers and clients what networks, peers, programs and systems do, and keeps accounts.

``run.py`` runs scripted scenarios (``chaos``), ``soak/run.py`` a mixed load for minutes or hours
(``soak``). ``roles`` are the programs that take part, each a process of its own: the device, its
clients, a prober, peers that misbehave. ``common`` starts them, reads their ledgers and says what
held; it knows no scenario.
"""
