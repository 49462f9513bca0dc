"""The gateway's own keys: what is sealed with which of them, and how all of it comes under the key of today.

Words owned here: *earlier* (sealed with a key of before, which opens it still), *lost* (no key here opens it).
"""
