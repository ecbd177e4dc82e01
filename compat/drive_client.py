"""Drives today's AgentOS client against a server; prints what it saw as JSON.

Runs in an environment that has the package ``agno`` and not licet: ``drive_client.py URL TOKEN``.
"""

# mypy: ignore-errors
# The client's package is not installed where types are checked: it is never a dependency.

import asyncio
import json
import sys

from agno.client import AgentOSClient


async def drive(url: str, token: str) -> dict:
    """Use every method that the interface of this version answers."""
    client = AgentOSClient(url)
    headers = {"Authorization": f"Bearer {token}"}
    config = await client.aget_config(headers=headers)
    agents = await client.list_agents(headers=headers)
    agent = await client.aget_agent("alpha", headers=headers)
    run = await client.run_agent("alpha", "hello", session_id="c1", headers=headers)
    events, content = [], ""
    stream = client.run_agent_stream(
        "alpha", "use the tool", session_id="c1", metadata={"from": "client"}, headers=headers
    )
    async for event in stream:
        events.append(event.event)
        if event.event == "RunContent":
            content += event.content
    listed = await client.get_sessions(component_id="alpha", headers=headers)
    detail = await client.get_session("c1", headers=headers)
    runs = await client.get_session_runs("c1", headers=headers)
    previews = await client.aget_session_run_previews("c1", headers=headers)
    one = await client.get_session_run("c1", run.run_id, headers=headers)
    created = await client.create_session(
        session_id="c2", session_name="named", agent_id="alpha", headers=headers
    )
    renamed = await client.rename_session("c2", "renamed", headers=headers)
    updated = await client.update_session("c2", session_state={"k": 1}, headers=headers)
    await client.delete_session("c2", headers=headers)
    await client.delete_sessions(["c1"], ["agent"], headers=headers)
    left = await client.get_sessions(headers=headers)
    return {
        "config": [config.os_id, [a.id for a in config.agents]],
        "agents": [a.id for a in agents],
        "agent": [agent.id, agent.model.model, agent.db_id],
        "run": [run.content, run.status, run.metrics.total_tokens],
        "events": events,
        "content": content,
        "sessions": [[s.session_id, s.session_name] for s in listed.data],
        "detail": [detail.session_id, len(detail.chat_history)],
        "runs": [[r.run_input, r.content, r.status] for r in runs],
        "previews": [p.run_input for p in previews],
        "one": one.run_id == run.run_id,
        "created": [created.session_id, created.session_name],
        "renamed": renamed.session_name,
        "updated": updated.session_state,
        "left": [s.session_id for s in left.data],
    }


async def refused(url: str) -> int:
    """The status that the client reports without a token."""
    try:
        await AgentOSClient(url).list_agents()
    except Exception as error:  # noqa: BLE001 - its own kinds of error differ by version
        return getattr(error, "status_code", None) or error.response.status_code
    return 200


async def main() -> None:
    """Drive and print."""
    url, token = sys.argv[1:3]
    sys.stdout.write(json.dumps({**await drive(url, token), "refused": await refused(url)}))


asyncio.run(main())
