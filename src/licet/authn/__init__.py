"""Authentication: credentials become a Principal, by three answers."""
