"""Homes of records: Redis, SQL, JSON files; and the tables of facts and shadow."""
