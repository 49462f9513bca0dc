"""Link a phone with a code. Words owned here: *attempt* (one try to link one phone for one user, 5 minutes at most).

An attempt is a row before anything is tried; unique indexes over the open rows decide who may try. A worker claims the
row, asks WhatsApp for at most two codes and writes each down; whoever waits hears of it.
"""
