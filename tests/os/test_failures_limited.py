"""Rate limit of failed authentications, over a real socket."""

from __future__ import annotations

import httpx

from licet.os import Settings
from licet.testing import TokenFactory
from tests.support.live import serve
from tests.support.world import OWNER, World


def test_who_keeps_failing_is_told_to_wait_and_good_tokens_go_on() -> None:
    world = World()
    settings = Settings(max_failed_authentications=5)
    forged = TokenFactory(fresh_key=True)
    with serve(world.agent_os(settings=settings).get_app()) as live:

        def status(headers: dict[str, str]) -> int:
            answer = httpx.get(f"{live.url}/agents", headers=headers)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) > 0
            return answer.status_code

        guesses = [{"Authorization": f"Bearer {forged.token(f'u{n}')}"} for n in range(8)]
        assert [status(guess) for guess in guesses] == [401] * 5 + [429] * 3
        # Neither a token that is new here, nor one that has expired, nor nobody is a guess.
        assert status(world.bearer(OWNER, "agents:read")) == 200
        assert status(world.bearer(OWNER, "agents:read", exp=1)) == 401
        assert status({}) == 401
