"""The outbox: say something on WhatsApp, once, and know what became of it.

Words owned here: *message* (one thing said to one recipient), *draft* (a message as it is asked for), *outbox* (the
messages in SQL), *lane* (what one session says to one recipient, in order), *snooze* (a wait that burns no attempt),
*outcome* (what a try ended with), *pump* (claims what is due and sends it).
"""
