"""The servers that are compared: one small module each, every one used in its natural way.

A module gives REQUIREMENT (what pip installs, pinned in the extra ``bench``), ``serve(work)``, and,
where the server does not speak ZeroMQ, ``client(address, work)``. Work it cannot do stands in
CANNOT, with the reason. ``../process.py`` runs a module as a server or as clients.
"""
