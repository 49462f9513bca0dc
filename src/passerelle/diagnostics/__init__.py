"""What is wrong, why, and what to do about it; features bring the checks.

Words owned here: *finding* (one thing worth telling an operator, with a stable id), *level* (how bad it is),
*check* (one look at one thing), *need* (what must be well before a look makes sense), *report* (what all checks found),
*examination* (running them once).
"""
