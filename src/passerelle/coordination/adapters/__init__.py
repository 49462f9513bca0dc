"""Locks and announcements on Redis."""
