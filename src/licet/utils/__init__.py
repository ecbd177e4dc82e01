"""Small helpers with documented import paths."""
