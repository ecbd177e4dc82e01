"""The numbers of this process as Prometheus reads them.

Each process answers for itself, and every series has ``service_instance_id``: where several workers
serve one port, Prometheus hears now of one and now of another, and keeps them apart by it.
"""

from __future__ import annotations

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from licet.os.observer import Exposition

_INSTANCE = "service.instance.id"


class PrometheusMetrics:
    """One server's metrics, in a registry of its own. ``reader`` is for the SDK."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.reader = PrometheusMetricReader(
            registry=self._registry,
            scope_info_enabled=False,
            resource_attribute_filter=lambda name: name == _INSTANCE,
        )

    def exposition(self) -> Exposition:
        """What they are now, in the text format (version 0.0.4)."""
        return Exposition(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)
