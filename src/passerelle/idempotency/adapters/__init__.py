"""Keys in SQL."""
