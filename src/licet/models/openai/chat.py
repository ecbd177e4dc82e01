"""OpenAIChat: models behind OpenAI's chat completions, wherever they are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from licet.errors import ConfigurationError
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.models.openai.encode import encode
from licet.models.openai.endpoint import EndpointSettings, check_base_url
from licet.models.openai.exchange import Exchange
from licet.models.openai.retry import RetryPolicy
from licet.models.openai.transport import Transport

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_TIMEOUT_SECONDS = 600.0
DEFAULT_CONNECT_TIMEOUT_SECONDS = 5.0
DEFAULT_MAX_RETRIES = 2

_BODY_PARAMETERS = (
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "store",
    "temperature",
    "top_p",
    "user",
    "verbosity",
)
_CLIENT_PARAMETERS = (
    "api_key",
    "base_url",
    "connect_timeout_seconds",
    "max_retries",
    "organization",
    "project",
    "timeout",
)


@dataclass(frozen=True, eq=False)
class OpenAIChat:
    """A model that OpenAI serves, or any server that speaks chat completions (``base_url``).

    ``api_key``, ``base_url``, ``organization`` and ``project`` left out are read when a run asks
    the model, from ``OPENAI_API_KEY``, ``OPENAI_BASE_URL``, ``OPENAI_ORG_ID`` and
    ``OPENAI_PROJECT_ID``. Without any key OpenAI itself is not asked (ModelCredentialsError); a
    server named by ``base_url`` or ``OPENAI_BASE_URL``, as Ollama or vLLM, is asked without one.

    Parameters of a request, from ``frequency_penalty`` to ``verbosity``, have OpenAI's names and
    meanings; those left out are not sent. ``request_params``, then ``extra_body``, are added to
    the body last and win; ``extra_headers`` and ``extra_query`` go with each request.

    ``timeout`` is the longest silence of the server, in seconds: before the answer and within it.
    Failures that may pass (408, 409, 429, 5xx, no connection) are tried again ``max_retries``
    times, as long as no text was handed over.

    ``client`` is an ``AsyncOpenAI`` of your own (Azure, other credentials, other HTTP client). It
    brings its address, key, time-outs and retries with it, and stays yours to close.

    Raises:
        ConfigurationError: the base URL is none, a time-out is not positive, or ``client`` is
            given together with what is set on the client itself.
    """

    id: str = "gpt-4o"
    _: KW_ONLY
    name: str = "OpenAIChat"
    provider: str = "OpenAI"
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None
    client: AsyncOpenAI | None = field(default=None, repr=False)
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Mapping[str, str] | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | Sequence[str] | None = None
    store: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    request_params: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    extra_query: Mapping[str, str] | None = None
    timeout: float | None = None
    connect_timeout_seconds: float | None = None
    max_retries: int | None = None
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy, repr=False)
    _parameters: Mapping[str, Any] = field(init=False, repr=False)
    _overrides: Mapping[str, Any] = field(init=False, repr=False)
    _exchange: Exchange = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.base_url is not None:
            check_base_url(self.base_url)
        for setting in ("timeout", "connect_timeout_seconds"):
            if (value := getattr(self, setting)) is not None and not value > 0:
                raise ConfigurationError(f"{setting} is {value!r}; it must be more than 0 seconds")
        retries = DEFAULT_MAX_RETRIES if self.max_retries is None else self.max_retries
        exchange = Exchange(
            transport=self._transport(),
            # The SDK has done its own retries when an error of it arrives here.
            max_retries=retries if self.client is None else 0,
            retry_policy=self.retry_policy,
        )
        given = ((name, getattr(self, name)) for name in _BODY_PARAMETERS)
        # Copied below: the caller's lists and dictionaries may change, the model does not.
        parameters = {name: value for name, value in given if value is not None}
        overrides = {**(self.request_params or {}), **(self.extra_body or {})}
        object.__setattr__(self, "_exchange", exchange)
        object.__setattr__(self, "_parameters", deepcopy(parameters))
        object.__setattr__(self, "_overrides", deepcopy(overrides))

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> ModelResponse:
        """Answer one turn; streamed when a callback is given. See ``Model.respond``.

        Raises:
            ConfigurationError: the environment names a base URL or a key that cannot be used.
            InvalidInputError: an image has neither data nor a URL.
            ModelCredentialsError: no API key, or one that was refused.
            ModelRequestError: the server refused the request itself.
            ModelRateLimitError: the limit was reached, also after all retries.
            ModelUnavailableError: the server could not be reached, was silent, or failed.
            ModelProtocolError: the answer was cut off, or is not the protocol.
        """
        body = encode(
            request,
            model=self.id,
            parameters=self._parameters,
            overrides=self._overrides,
            stream=on_text is not None or on_reasoning is not None,
        )
        return await self._exchange.run(body, on_text=on_text, on_reasoning=on_reasoning)

    async def aclose(self) -> None:
        """Close the connections of this event loop. The model can be used again afterwards."""
        await self._exchange.transport.aclose()

    def _transport(self) -> Transport:
        if self.client is None:
            from licet.models.openai.aiohttp_transport import AiohttpTransport

            return AiohttpTransport(
                EndpointSettings(
                    provider=self.provider,
                    base_url=self.base_url,
                    api_key=self.api_key,
                    organization=self.organization,
                    project=self.project,
                    extra_headers=dict(self.extra_headers or {}),
                    extra_query=dict(self.extra_query or {}),
                ),
                timeout_seconds=self.timeout or DEFAULT_TIMEOUT_SECONDS,
                connect_timeout_seconds=(
                    self.connect_timeout_seconds or DEFAULT_CONNECT_TIMEOUT_SECONDS
                ),
            )
        from licet.models.openai.sdk_transport import SdkTransport, check_client

        check_client(self.client)
        clashing = [name for name in _CLIENT_PARAMETERS if getattr(self, name) is not None]
        if clashing:
            raise ConfigurationError(
                f"OpenAIChat has both client and {', '.join(clashing)}; set these on the client"
            )
        return SdkTransport(
            self.client,
            provider=self.provider,
            extra_headers=self.extra_headers or {},
            extra_query=self.extra_query or {},
        )
