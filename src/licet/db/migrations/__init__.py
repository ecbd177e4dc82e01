"""The history of the tables, for Alembic. A revision that was released is never edited."""

HEAD = "0008"
"""The newest revision: a database that has it needs no look at the others."""

VERSION_TABLE = "licet_revision"
"""Where a database says its revision; a name of our own, beside the user's own Alembic."""
