"""How the gateway was: each change of what a check found, kept in SQL for 30 days.

Words owned here: *state* (the worst that a check found), *change* (from one state to another, and when), *watch* (the
lease of the one worker that examines for all), *unwritten* (what only this process knows while SQL is away).
"""
