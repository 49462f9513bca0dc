"""The simulated WhatsApp, to try and test everything without an account.

Words owned here: *world* (all that WhatsApp would remember, in a file of its own), *phone* (a virtual one, made on
first use), *connection* (a companion's socket, in memory only: it dies with its process, and its code with it),
*link* (a device that a phone accepted), *mail* (messages between phones), *event* (what a linked phone's session must
hear of), *loan* (events that one listener has and has not acknowledged yet), *fault* (a scripted misfortune that hits
the next operation it fits), *wire* (how several processes share one world that one of them serves).
"""
