"""Linked phones in SQL: their numbers, who holds them, when they were seen, and by which proxy they connect."""
