"""Leads and contractors in SQL; also in a table `leads` that somebody else made."""
