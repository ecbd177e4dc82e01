"""Programs written for AgentOS: their imports mapped onto licet."""

from licet.compat.alias import active, install
from licet.compat.script import run_script

__all__ = ["active", "install", "run_script"]
