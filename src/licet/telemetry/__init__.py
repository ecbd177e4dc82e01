"""Traces and metrics of a server by OpenTelemetry; ``pip install 'licet[telemetry]'``."""

from licet.telemetry.config import Telemetry

__all__ = ["Telemetry"]
