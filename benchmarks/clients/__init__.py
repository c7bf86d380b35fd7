"""Clients of one server, compared."""
