"""Who may use this gateway. Words owned here: *client* (whose data it is), *caller* (who asks just now)."""
