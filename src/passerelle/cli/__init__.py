"""The command line: one command is one call, over HTTP to the running gateway, or to one started for it."""
