"""What saves work between processes and may be lost at any line: locks, announced jobs, news of changes, caches.

Words owned here: *lock* (a token with a TTL in Redis; never the thing that decides), *announce* (tell the workers
that a row waits), *news* (a row changed: whoever waits for it hears it).
"""
