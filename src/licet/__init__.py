"""Licet: an agent server in which nothing runs unless the caller's verified token permits it."""

# Never import the standard library's os here: it would shadow the package licet.os.
from licet._version import __version__

__all__ = ["__version__"]
