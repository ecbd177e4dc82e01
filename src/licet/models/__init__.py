"""Language models: the protocol, and what speaks to providers."""
