"""Copies of all that a gateway keeps: a backup of it as it is, and an export that another sort of database can read.

Words owned here: *backup* (one archive: the database as its own tools copy it, and the files beside it), *export* (rows
as JSON lines), *held* (a message that was waiting in a copy: it may have been sent since, so nobody sends it again).
"""
