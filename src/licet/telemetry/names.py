"""The names of what is recorded; whatever has another name is not.

Those of OpenTelemetry's semantic conventions stand as they do there: HTTP and databases (stable),
and generative AI (in development, https://github.com/open-telemetry/semantic-conventions-genai).
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK_SECONDS = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of an attribute
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
ERROR_TYPE = "error.type"
ROUTE = "http.route"

REQUEST_ID = "licet.request.id"
RUN_ID = "licet.run.id"
RUN_STATUS = "licet.run.status"
ISSUER = "licet.principal.issuer"
SUBJECT = "licet.principal.subject"
DECISION = "licet.decision"
ACTION = "licet.action"
RESOURCE = "licet.resource"
RESOURCE_ID = "licet.resource.id"
RULE = "licet.rule"
REASON = "licet.reason"

_OWN = frozenset(
    (
        *(OPERATION, PROVIDER, REQUEST_MODEL, REQUEST_STREAM, FINISH_REASONS),
        *(FIRST_CHUNK_SECONDS, INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, REASONING_TOKENS),
        *(AGENT_ID, AGENT_NAME, CONVERSATION_ID, TOOL_NAME, TOOL_TYPE, TOOL_CALL_ID),
        *(ERROR_TYPE, ROUTE, REQUEST_ID, RUN_ID, RUN_STATUS, ISSUER, SUBJECT),
        *(DECISION, ACTION, RESOURCE, RESOURCE_ID, RULE, REASON),
    )
)
_OF_INSTRUMENTATIONS = frozenset(
    (
        *("http.request.method", "http.response.status_code", "url.path", "url.scheme"),
        *("network.protocol.version", "client.address"),
        # What kind of statement, to what kind of database: not its text, nor where that is.
        *("db.system", "db.system.name"),
    )
)
RECORDED = _OWN | _OF_INSTRUMENTATIONS
"""The attributes that leave the process; those of instrumentations beside ours among them."""
