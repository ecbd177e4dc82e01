"""How Alembic runs the revisions: on the connection, and in the transaction, of the caller."""

from __future__ import annotations

from alembic import context

from licet.db.migrations import VERSION_TABLE
from licet.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
