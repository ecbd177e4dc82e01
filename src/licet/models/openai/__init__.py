"""OpenAI chat completions: one decoder, two transports."""

from licet.models.openai.chat import OpenAIChat

__all__ = ["OpenAIChat"]
