"""Tell the client's own systems what happens: written down with what caused it, signed, tried until it is taken.

Words owned here: *endpoint* (an address of a client that wants to hear), *event* (what it hears of), *delivery* (one
event on its way to one endpoint), *lane* (the events of one session to one endpoint: first tries in order), *parked*
(refused by its receiver three times, and passed), *secret* (what signs; derived, never kept).
"""
