"""The other transport: an ``AsyncOpenAI`` that the user made, e.g. for Azure or own credentials.

Only its raw streaming interface is used, so that both transports feed the same decoder. The SDK
does its own retries, up to the head of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from licet.errors import ConfigurationError
from licet.models.openai.endpoint import secrets_of
from licet.models.openai.failure import Failures
from licet.models.openai.transport import Body

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def check_client(client: object) -> None:
    """See that a client can be used, without importing anything.

    Raises:
        ConfigurationError: it is a blocking client, or no client at all.
    """
    names = {kind.__name__ for kind in type(client).__mro__}
    if "OpenAI" in names:
        raise ConfigurationError("client is a blocking OpenAI client; hand in an AsyncOpenAI")
    if not hasattr(type(client), "chat"):
        raise ConfigurationError(f"client is a {type(client).__name__!r}, not an AsyncOpenAI")


class SdkTransport:
    """Sends through the client of the user, which stays the user's: ``aclose`` leaves it open."""

    def __init__(
        self,
        client: AsyncOpenAI,
        *,
        provider: str,
        extra_headers: Mapping[str, str],
        extra_query: Mapping[str, str],
    ) -> None:
        self._client = client
        self._provider = provider
        self._extra_headers = dict(extra_headers)
        self._extra_query = dict(extra_query)

    async def open(self, body: Body) -> tuple[SdkReply, Failures]:
        """Send the request. See ``Transport.open``."""
        import openai

        completions: Any = self._client.chat.completions
        failures = Failures(self._provider, self._secrets())
        request = completions.with_streaming_response.create(
            model=body.members["model"],
            messages=[],  # in extra_body with all the rest, which the SDK passes on unchanged
            stream=body.stream,
            extra_body=dict(body.members),
            extra_headers=self._extra_headers,
            extra_query=self._extra_query,
        )
        try:
            response = await request.__aenter__()
        except openai.APIStatusError as error:
            failures = failures.of_request(error.request_id)
            raise failures.status(
                error.status_code, error.response.content, error.response.headers
            ) from error
        except openai.APITimeoutError as error:
            raise failures.unreachable("sent nothing in time") from error
        except openai.OpenAIError as error:
            # httpx tells the reason only in the cause.
            raise failures.unreachable(
                f"could not be asked: {error.__cause__ or error}",
                retryable=isinstance(error, openai.APIConnectionError),
            ) from error
        failures = failures.of_request(response.headers.get("x-request-id"))
        return SdkReply(response, failures), failures

    async def aclose(self) -> None:
        """Nothing: the client is the user's to close."""

    def _secrets(self) -> tuple[str, ...]:
        key = getattr(self._client, "api_key", None)
        own = (key,) if isinstance(key, str) else ()
        return (*own, *secrets_of(self._extra_headers))


class SdkReply:
    """An answer that the SDK reads. See ``Reply``."""

    __slots__ = ("_failures", "_pieces", "_response")

    def __init__(self, response: Any, failures: Failures) -> None:
        self._response = response
        self._failures = failures
        self._pieces = response.iter_bytes()

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self._response.status_code)

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; names in any case."""
        headers: Mapping[str, str] = self._response.headers
        return headers

    async def read_piece(self) -> bytes:
        """The next bytes; empty at the end. See ``Reply.read_piece``."""
        try:
            return bytes(await anext(self._pieces, b""))
        except Exception as error:  # which kinds there are depends on the client's HTTP library
            reason = str(error) or type(error).__name__
            raise self._failures.unreachable(f"broke off: {reason}") from error

    async def aclose(self) -> None:
        """Close the answer; the client keeps the connection if it was read to its end."""
        await self._pieces.aclose()
        await self._response.close()
