"""The agent: its settings, the loop between model and tools, events and output."""

from licet.agent.agent import Agent
from licet.agent.output import RunOutput

__all__ = ["Agent", "RunOutput"]
