"""Versioned documents in collections: Redis is their one home where it is configured, memory only a copy.

Words owned here: *record* (a document with a version), *collection* (``sessions``, ``clients``, ``logins``), *fact*
(something that has happened and must reach its record sooner or later), *shadow* (the last state we saw, kept in SQL,
so that a process started while Redis is away knows what it knew).
"""
