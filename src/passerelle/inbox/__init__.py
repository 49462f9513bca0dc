"""What came in: each event heard once, messages kept where their session asked for it, and given up on time.

Words owned here: *capture* (what a linked phone has agreed to have kept), *inbound event* (a message from outside, or
its revocation), *revocation* (somebody deleted a message for everybody; may come before it).
"""
