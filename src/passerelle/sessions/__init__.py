"""Linked phones: who they are, how they are, who keeps their connections.

Words owned here: *session* (one linked phone), *phone book* (which number is linked, in SQL), *holder* (the worker that
keeps the connection of a linked phone), *fence* (grows whenever a phone changes hands).
"""
