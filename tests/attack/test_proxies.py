"""The open server, and proxies that do not say that they are one."""

from __future__ import annotations

from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from tests.support.live import serve, status_of

AS_NGINX_SENDS_IT = b"GET /config HTTP/1.0\r\nHost: 127.0.0.1:7777\r\nConnection: close\r\n\r\n"


def test_a_proxy_that_was_set_up_in_one_line_is_refused() -> None:
    with serve(AgentOS(db=InMemoryDb()).get_app()) as server:
        assert status_of(server.raw(AS_NGINX_SENDS_IT)) == 403
        newer = AS_NGINX_SENDS_IT.replace(b"/1.0", b"/1.1")
        assert status_of(server.raw(newer)) == 200
