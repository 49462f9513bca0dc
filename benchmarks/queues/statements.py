"""The peers' table and the three statements of their tracked work; server.js and drive.js carry the same."""

# Only the primary key: Passerelle pays for six more indexes, the peers need none.
TABLE = """
CREATE TABLE messages (
    id text PRIMARY KEY, recipient text NOT NULL, content text NOT NULL, state text NOT NULL,
    attempts int NOT NULL DEFAULT 0, provider_id text,
    created_us bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint, updated_us bigint)
"""
_NOW = "(extract(epoch FROM clock_timestamp()) * 1e6)::bigint"
_MARK = "UPDATE messages SET state = 'sending', attempts = attempts + 1, updated_us = {now} WHERE id = {id} {still}"
_SETTLE = "UPDATE messages SET state = 'sent', provider_id = {provider_id}, updated_us = {now} WHERE id = {id}"
_INSERT = """
INSERT INTO messages (id, recipient, content, state)
SELECT *, 'pending' FROM unnest({0}::text[], {1}::text[], {2}::text[])
"""
# A task that comes twice finds no row: what acks_late and its like ask of their users.
_STILL = "AND state = 'pending' RETURNING recipient, content"

INSERT = _INSERT.format("$1", "$2", "$3")
MARK = _MARK.format(now=_NOW, id="$1", still=_STILL)
SETTLE = _SETTLE.format(now=_NOW, id="$1", provider_id="$2")
SENT = "SELECT count(*) FROM messages WHERE state = 'sent'"


def for_sqlalchemy(statement: str, *names: str) -> str:
    """`statement` with ``:name`` for ``$1`` and so on, and casts that `text()` does not take for a name."""
    statement = statement.replace("::text[]", "\\:\\:text[]").replace("::bigint", "\\:\\:bigint")
    for place, name in enumerate(names, start=1):
        statement = statement.replace(f"${place}", f":{name}")
    return statement
