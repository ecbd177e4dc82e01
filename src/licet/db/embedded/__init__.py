"""An embedded PostgreSQL: the binaries of a wheel, a data folder of our own, no Docker, no root.

Linux and macOS only: it rests on ``flock`` and Unix sockets.
"""

from licet.db.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
