"""Asked twice, done once: which request an Idempotency-Key was used for, and what came of it.

Words owned here: *key* (the caller's own name of one request), *fingerprint* (what a request asks for, hashed).
"""
