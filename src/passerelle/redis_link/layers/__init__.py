"""One Redis examined from the outside in: name, connection, TLS, answer, login, state, write (reference/redis.md §4).

Words owned here: *layer* (one check on the way in; below one that failed nothing is looked at), *patient* (the Redis
under examination, and what is known of it so far), *look* (one raw connection to a port), *line* (one that stays open).
"""
