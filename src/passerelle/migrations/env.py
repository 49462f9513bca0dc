"""How Alembic runs our steps: on the connection it is given, inside the transaction that is open there."""

from alembic import context

from passerelle.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
