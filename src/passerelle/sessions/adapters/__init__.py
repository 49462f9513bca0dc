"""The phone book in SQL."""
