"""The span of a decision, and what the request's own span learns from it."""

from __future__ import annotations

from opentelemetry.trace import Span, Tracer
from starlette.types import Scope

from licet.os.denial import Denial
from licet.os.judgement import Judgement
from licet.telemetry import names
from licet.telemetry.meters import Meters
from licet.telemetry.principal import principal_attributes
from licet.telemetry.requests import METHODS, route_served
from licet.telemetry.span import SpanObservation

_OUTCOMES = {
    401: "unauthenticated",
    404: "no_route",
    405: "no_route",
    429: "unauthenticated",
    503: "unavailable",
}


class DecisionSpan(SpanObservation):
    """How a request was decided.

    Args:
        tracer: makes it.
        meters: count it.
        scope: the request's.
        request: the span of the request, which is named after the route that matched.
    """

    def __init__(self, tracer: Tracer, meters: Meters, scope: Scope, request: Span) -> None:
        super().__init__(tracer, "authorize", attributes={})
        self._meters = meters
        self._scope = scope
        self._request = request

    def came_to(self, outcome: Judgement) -> None:
        """What was decided, by which rule, about what and whom."""
        decision, wanted = outcome_of(outcome), _wanted(outcome)
        self.span.set_attributes(
            {
                names.DECISION: decision,
                names.RULE: outcome.settled_by,
                names.REASON: outcome.reason,
                **wanted,
                **principal_attributes(outcome.principal),
            }
        )
        self._name_request(outcome)
        if not outcome.is_unasked:
            self._meters.decided(decision, action=wanted.get(names.ACTION, ""))

    def _name_request(self, judgement: Judgement) -> None:
        # What an instrumentation makes out before is not always the route that is served.
        template = "" if judgement.guarded is None else judgement.guarded.template
        if not template:
            return
        route_served(self._scope, template)
        method = self._scope.get("method", "WEBSOCKET")
        known = method in METHODS or self._scope["type"] == "websocket"
        self._request.set_attribute(names.ROUTE, template)
        self._request.update_name(f"{method if known else 'HTTP'} {template}")


def _wanted(judgement: Judgement) -> dict[str, str]:
    wanted, guarded = judgement.permission, judgement.guarded
    if wanted is None:
        return {}
    told = {names.ACTION: wanted.scope, names.RESOURCE: wanted.resource}
    if wanted.id_param is not None and guarded is not None:
        told[names.RESOURCE_ID] = str(guarded.path_params.get(wanted.id_param, ""))
    return told


def outcome_of(judgement: Judgement) -> str:
    """``allow``, ``deny``, ``unauthenticated``, ``unavailable`` or ``no_route``."""
    answer = judgement.answer
    return _OUTCOMES.get(answer.status, "deny") if isinstance(answer, Denial) else "allow"
