"""Linked phones. Words owned here: *session* (one linked phone), *phone book* (which number is linked in SQL)."""
