"""Run by alembic: migrate on the connection that storage.schema brings, in the transaction it has begun."""

from alembic import context

from storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
