"""Runs: started, followed, recorded."""
