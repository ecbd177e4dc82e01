"""Measurements beside AgentOS and beside the limit: ``python -m benchmarks``; see README.md."""
