"""WhatsApp by linked devices, on neonize.

Its Go library can end the whole process, so it lives in *hosts*: children of ours, about 50 phones each, spoken to
over a socket pair. The parent's side imports neither neonize nor protobuf.

Words owned here: *host* (a child that holds phones), *fleet* (the hosts of one process), *engine* (makes the clients
of a host: neonize, or a stand-in), *device store* (the keys of the linked devices: one SQLite file, or PostgreSQL),
*spool* (events on their way from a host, on its disk until they are acknowledged).
"""
