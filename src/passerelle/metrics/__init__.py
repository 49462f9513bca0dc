"""Metrics: what Prometheus reads of this process, under ``passerelle_``.

Words owned here: *counter* (only grows while the process lives), *glance* (into the database for gauges, when somebody
asks; remembered for some seconds), *scrape* (one visit of Prometheus). No label ever holds a value that callers
choose: no phone, no id, no name of a client.
"""
