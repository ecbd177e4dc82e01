"""What the OpenAPI document says of bodies that are read by hand."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_OBJECT = {"type": "object"}
_FIELDS: dict[str, dict[str, Any]] = {
    "session_id": _TEXT,
    "session_name": _TEXT,
    "session_state": _OBJECT,
    "metadata": _OBJECT,
    "summary": _OBJECT,
    "user_id": _TEXT,
    "agent_id": _TEXT,
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
    "scopes": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"scope": _TEXT, "effect": {"enum": ["allow"]}},
            "required": ["scope"],
        },
    },
    "expires_in_days": {"type": "integer", "minimum": 1, "maximum": 3650},
    "never_expires": {**_BOOLEAN, "default": False},
    "allow_privileged_scopes": {**_BOOLEAN, "default": False},
    "overlap_seconds": {"type": "integer", "minimum": 0, "maximum": 2592000, "default": 3600},
    "token_id": {**_TEXT, "description": "The jti of a token"},
    "sid": {**_TEXT, "description": "A login session at the issuer"},
    "subject": {**_TEXT, "description": "Everything issued to them before"},
    "key_id": {**_TEXT, "description": "Everything that this key signed"},
    "service_account": {**_TEXT, "description": "A service account's id or name"},
    "issuer": {**_TEXT, "description": "The issuer's alias; needed where there are several"},
    "issued_before": {"type": "integer", "description": "Epoch seconds; now when absent"},
    "expires_at": {"type": "integer", "description": "Epoch seconds; when it can be forgotten"},
    "reason": _TEXT,
    "method": {**_TEXT, "description": "GET, POST, …; WEBSOCKET for a handshake"},
    "path": {**_TEXT, "description": "Of the request"},
    "token": {**_TEXT, "description": "The token that it would bring"},
    "session_ids": {"type": "array", "items": _TEXT, "minItems": 1},
    "session_types": {
        "type": "array",
        "items": {"enum": ["agent", "team", "workflow"]},
        "minItems": 1,
    },
}


def json_body(*fields: str, **others: dict[str, Any]) -> dict[str, Any]:
    """``openapi_extra`` for a JSON body with these fields; ``others`` have schemas of their own."""
    schema = {"type": "object", "properties": {name: _FIELDS[name] for name in fields} | others}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


_RUN_FIELDS: dict[str, Any] = {
    "message": {"type": "string", "description": "What to ask the agent"},
    "stream": {**_BOOLEAN, "default": True, "description": "Answer as server-sent events"},
    "stream_events": {**_BOOLEAN, "default": True, "description": "All events, or the text only"},
    "background": {
        **_BOOLEAN,
        "default": False,
        "description": "Durable: the run outlives this process. Without stream, answer at once",
    },
    "session_id": {**_TEXT, "description": "Goes on with this session; a new one when absent"},
    "user_id": {**_TEXT, "description": "Whose session; for who sees all"},
    "session_state": {**_TEXT, "description": "JSON object; keys that the agent declares"},
    "dependencies": {**_TEXT, "description": "JSON object; keys that the agent leaves open"},
    "metadata": {**_TEXT, "description": "JSON object, kept on the run"},
    "output_schema": {**_TEXT, "description": "JSON schema of the answer"},
    "images": {**_TEXT, "description": "JSON array of {content, mime_type} or {url}"},
}
_FILES = {
    "type": "array",
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
    "description": "Images and text files",
}
_OBJECT_FIELDS = ("session_state", "dependencies", "metadata", "output_schema")
_JSON_RUN_FIELDS = {
    **_RUN_FIELDS,
    **{
        name: {**_OBJECT, "description": _RUN_FIELDS[name]["description"]}
        for name in _OBJECT_FIELDS
    },
    "images": {"type": "array", "items": _OBJECT},
}


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": ["message"], "properties": properties}}


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Sent again with the same body within a day, it begins no second run: the "
    "first one is answered. Visible ASCII characters",
}
RUN_BODY: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY_KEY],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _body({**_RUN_FIELDS, "files": _FILES}),
            "application/x-www-form-urlencoded": _body(_RUN_FIELDS),
            "application/json": _body(_JSON_RUN_FIELDS),
        },
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["run_id", "session_id", "status"],
    "properties": {"run_id": _TEXT, "session_id": _TEXT, "status": _TEXT},
}
RUN_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The run, or its events",
        "content": {"application/json": {}, "text/event-stream": {}},
    },
    202: {
        "description": "The run is stored, and waits for its turn (background, without stream)",
        "content": {"application/json": {"schema": _ACCEPTED}},
    },
    429: {"description": "Too many runs wait, or this client failed to authenticate too often"},
}
_RESUME = {
    "schema": {
        "type": "object",
        "properties": {
            "last_event_index": {
                "type": "integer",
                "minimum": -1,
                "description": "The highest event_index that was seen; -1 or absent: none",
            },
            "session_id": {**_TEXT, "description": "The session that the run belongs to"},
        },
    }
}
RESUME_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "multipart/form-data": _RESUME,
            "application/x-www-form-urlencoded": _RESUME,
            "application/json": _RESUME,
        }
    }
}
_CONTINUE_FIELDS: dict[str, Any] = {
    "tools": {
        **_TEXT,
        "description": "JSON array: of each call its tool_call_id, and confirmed (with "
        "confirmation_note), user_input_schema ([{name, value}]) or result",
    },
    "session_id": {**_TEXT, "description": "The session that the run belongs to"},
    **{name: _RUN_FIELDS[name] for name in ("stream", "stream_events", "background")},
}


def _continue(fields: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": fields}}


CONTINUE_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "multipart/form-data": _continue(_CONTINUE_FIELDS),
            "application/x-www-form-urlencoded": _continue(_CONTINUE_FIELDS),
            "application/json": _continue(
                {**_CONTINUE_FIELDS, "tools": {"type": "array", "items": _OBJECT}}
            ),
        }
    }
}
RESOLUTION_BODY = json_body(
    status={"enum": ["approved", "rejected"]},
    resolved_by={**_TEXT, "description": "Where nobody is authenticated: who decided"},
    resolution_data={**_OBJECT, "description": "Kept with it; the model reads its text 'note'"},
)
LOGOUT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["logout_token"],
                    "properties": {"logout_token": _TEXT},
                }
            }
        },
    }
}
