"""The agent: its settings, the loop between model and tools, events and output."""

from licet.agent.agent import Agent
from licet.agent.decisions import Decision
from licet.agent.output import RunOutput

__all__ = ["Agent", "Decision", "RunOutput"]
