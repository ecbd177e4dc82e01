"""Storage: the Db protocol, its records, and three implementations."""
