"""Tools: functions that a model may call, and kits of them."""

from licet.tools.decorator import tool
from licet.tools.function import Function, ToolResult
from licet.tools.toolkit import Toolkit

__all__ = ["Function", "ToolResult", "Toolkit", "tool"]
