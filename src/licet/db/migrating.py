"""Bringing the tables up to date, with Alembic, once for all processes that start together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from licet.db import migrations
from licet.db.backend import Backend
from licet.errors import StorageError

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic keeps what it works on in module globals: one migration at a time in a process.
_one_at_a_time = threading.Lock()


def bring_up_to_date(backend: Backend) -> None:
    """Apply the revisions that the database does not have. Costs one query when it has all.

    Raises:
        StorageError: the tables are newer than this code, or could not be changed.
    """
    if backend.revision() == migrations.HEAD:
        return
    # Before the lock: importing it takes long, and other processes wait for the lock.
    import alembic.command
    import alembic.runtime.migration
    import alembic.script  # noqa: F401 - for those below
    from sqlalchemy.exc import SQLAlchemyError

    with _one_at_a_time:
        engine = backend.migrating()
        try:
            with engine.begin() as connection:
                config = alembic_config()
                config.attributes["connection"] = connection
                _upgrade(config, backend)
        except SQLAlchemyError as error:
            raise StorageError(
                f"the tables of database {backend.id!r} could not be brought up to date: {error}"
            ) from error
        finally:
            engine.dispose()


def alembic_config() -> Config:
    """Where Alembic finds the revisions."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def knows(revision: str) -> bool:
    """Whether this version knows tables of a revision: they are its own, or older ones."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        ScriptDirectory.from_config(alembic_config()).get_revision(revision)
    except CommandError:
        return False
    return True


def _upgrade(config: Config, backend: Backend) -> None:
    from alembic import command

    # Asked again: whoever held the lock before may have done the work.
    revision = _revision_of(config)
    if revision is not None and not knows(revision):
        raise StorageError(
            f"the tables of database {backend.id!r} have revision {revision!r}, which this "
            f"version of licet does not know (it knows up to {migrations.HEAD!r}): "
            "upgrade licet, or use another database"
        )
    command.upgrade(config, "head")


def _revision_of(config: Config) -> str | None:
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(
        config.attributes["connection"], opts={"version_table": migrations.VERSION_TABLE}
    )
    return context.get_current_revision()
