"""What is kept of a person, everywhere: told, and erased at their wish.

Words owned here: *person* (who has one number, or one id of a provider), *keeper* (one sort of things that a client
keeps of people), *erasure* (a wish to forget somebody, until nothing is left).
"""
