"""Who did what: the acts of admins and of clients' keys that change who may do what, or that remove or export.

Words owned here: *act* (one such request, from its begin to its outcome), *audit log* (all acts, until they are old).
"""
