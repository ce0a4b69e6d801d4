"""A model behind an OpenAI-compatible server as an `LLM`: vLLM, SGLang, llama.cpp, Ollama, ``transformers serve``.

What differs from a model on this machine:

- The server makes the prompt: it puts its chat template around one user message, tokenises the whole, and reads names of
  special tokens inside a document as special tokens. How many tokens its template has is measured once, by a request
  for one token, which is counted in no run.
- Sampling settings that are not sent (a repetition penalty, say) have the server's defaults.
- Log-likelihoods need a server that gives the log-probabilities of a prompt (vLLM and SGLang do; llama.cpp, Ollama and
  ``transformers serve`` do not), and are those of the plain text, without chat template.
- Windows cannot be read in parallel inside one prompt (PCW, NBCE): it is no `WindowedLLM`.

Nothing but the named server is ever contacted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, Tokenizer
from ctxproc.llm.endpoint_echo import echo_request, parse_echo, parse_echoed_ids
from ctxproc.llm.endpoint_http import HttpError, Server
from ctxproc.llm.endpoint_tokenizer import ByteTokenizer, ServerTokenizer
from ctxproc.llm.endpoint_wire import (
    PATHS,
    TOKEN_CHARACTERS,
    Api,
    Cut,
    Reply,
    Served,
    clean,
    parse_event,
    parse_json,
    parse_models,
    parse_props,
    parse_reply,
    request,
    tokens_of,
)
from ctxproc.prompt import Prompt

T = TypeVar("T")

UNKNOWN_WRAPPING = 64  # tokens of a chat template, where a server does not count prompts
SPARE, SHARE = 8, 64  # a whole prompt may exceed its parts by so many tokens, and one in so many of the window
NO_SUCH_PART = (404, 405, 501)


class EndpointLLM(LLM):
    """A model behind a server. Its list of models and its window are asked for at once.

    Args:
        address: ``http://host:port/v1`` or https; ``#model`` behind it names one of its models, default the first.
        context_window: tokens of a prompt and its answer; None asks the server.
        api: "chat", "completions", or "auto": chat where the server has it and the model has a template.
        concurrency: requests under way at once.
        timeout: seconds for one request, from sending it to the end of the answer.
        retries: further attempts after 429, 5xx or a failed connection, after growing waits.
        key_env: the environment variable that holds the key.
        tokenizer: a folder or hub name of the model's tokenizer; "" counts by the server, or bytes where it cannot.

    Raises:
        ConfigError: the address is none, or the server does not tell its window.
        ModelError: the server cannot be reached, refuses the key, or has no model.
    """

    def __init__(
        self,
        address: str,
        *,
        context_window: int | None = None,
        api: Literal["auto", "chat", "completions"] = "auto",
        concurrency: int = 8,
        timeout: float = 600.0,
        retries: int = 4,
        key_env: str = "OPENAI_API_KEY",
        tokenizer: str = "",
    ) -> None:
        base, _, model = checked(address).partition("#")
        self._server = Server(base, key_env=key_env, timeout=timeout, retries=retries, concurrency=concurrency)
        served = self._choose(model)
        self.model = served.name
        self.name = f"{base}#{served.name}"
        self.context_window = self._window(served.window, context_window)
        self.tokenizer = self._tokenizer(tokenizer)
        self._api_setting = api
        self._scores: bool | None = None
        self._told = not isinstance(self.tokenizer, ByteTokenizer)

    def _choose(self, model: str) -> Served:
        """The named model, else the first of the server's list."""
        if model:
            served = self._server.probe("/models", None, parse_models) or []
        else:
            served = self._server.get("/models", parse_models)
        if not served and not model:
            raise ModelError(f"{self._server.address} lists no model: name one as {self._server.address}#MODEL")
        return next((item for item in served if item.name == model or not model), Served(model, None))

    def _window(self, told: int | None, wanted: int | None) -> int:
        told = told or self._server.probe(f"{self._server.root}/props", None, parse_props)
        if wanted is None and not told:
            raise ConfigError(
                f"{self._server.address} does not tell how many tokens it can read: set context_window to what it was "
                "started with"
            )
        if wanted is not None and (wanted < 1 or (told and wanted > told)):
            raise ConfigError(f"context_window {wanted} is not between 1 and the {told} tokens of {self.name}")
        return wanted or told or 0

    def _tokenizer(self, name: str) -> Tokenizer:
        if name:
            from ctxproc.llm.pretrained import find
            from ctxproc.llm.tokenizer import HfTokenizer

            return HfTokenizer(find(name).tokenizer())
        counter = ServerTokenizer(self._server, self.model)
        return counter if counter.works() else ByteTokenizer()

    @property
    def wrapping_tokens(self) -> int:
        """Tokens of the server's chat template as it counts them, and some to spare.

        The server tokenises the joined text: where two pieces meet, a token or so more than they have on their own.
        """
        return self._frame[1]

    @cached_property
    def _frame(self) -> tuple[Api, int]:
        """The interface that the server has, and `wrapping_tokens`; found by asking for one token."""
        apis: tuple[Api, ...] = ("chat", "completions") if self._api_setting == "auto" else (self._api_setting,)
        for api in apis:
            body = request(api, self.model, "a", Sampling(max_new_tokens=1), 0)
            try:
                [reply] = self._server.post(PATHS[api], [body], [partial(parse_reply, api, 1)])
            except HttpError as error:
                absent = error.status in NO_SUCH_PART or "chat template" in error.said.lower()
                if absent and api != apis[-1]:
                    continue
                raise
            wrapping = UNKNOWN_WRAPPING if reply.prompt_tokens is None else reply.prompt_tokens
            return api, wrapping + SPARE + self.context_window // SHARE
        raise AssertionError

    def notices(self) -> list[str]:
        """That bytes are counted, where they are."""
        told, self._told = self._told, True
        if told:
            return []
        return [
            f"{self._server.address} does not count tokens: every byte counts as one, so chunks hold about a quarter of "
            "the text; set endpoint.tokenizer to the model's tokenizer, or raise chunk.tokens"
        ]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """As `LLM.generate`; a prompt's draws depend on the seed and its place in ``prompts``.

        Raises:
            PromptTooLongError: as `LLM.generate`; nothing was sent.
            ConfigError: a constraint that servers do not share.
            ModelError: the server failed; the others of ``prompts`` are given up.
        """
        if not prompts:
            return []
        counts = [self.check_fits(prompt, sampling.max_new_tokens) for prompt in prompts]
        api = self._frame[0]
        bodies = [self._request(prompt, sampling, place) for place, prompt in enumerate(prompts)]
        parse = partial(parse_reply, api, sampling.max_new_tokens)
        replies = self._server.post(PATHS[api], bodies, [parse] * len(bodies))
        return [self._generation(reply, n, sampling) for reply, n in zip(replies, counts, strict=True)]

    def _request(self, prompt: Prompt, sampling: Sampling, place: int) -> dict[str, object]:
        seed = (sampling.seed * 1_000_003 + sampling.stream + place) % 2**31
        return request(self._frame[0], self.model, str(prompt), sampling, seed)

    def _generation(self, reply: Reply, counted: int, sampling: Sampling) -> Generation:
        cut = Cut(sampling.stop)
        text = cut.push(reply.text)
        text += cut.close()
        finish = "stop" if cut.done else reply.finish or "stop"
        if sampling.constraint is not None and finish == "stop" and not cut.done:
            self._check_json(text)
        return Generation(
            text,
            counted if reply.prompt_tokens is None else reply.prompt_tokens,
            self.tokenizer.count(text) if reply.new_tokens is None else reply.new_tokens,
            reply.reused_tokens,
            finish,
            tokens=tokens_of(reply, sampling.stop) if sampling.logprobs else (),
        )

    def _check_json(self, text: str) -> None:
        try:
            parse_json(text.encode())
        except ValueError:
            raise ModelError(
                f"{self._server.address} does not keep to json_schema: use a server that constrains replies"
            ) from None

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """As `LLM.stream`; the prompt is checked at once, and closing the generator ends the server's work.

        Tokens are counted here where the server does not tell, or has not yet when a stop string ends the text.
        """
        counted = self.check_fits(prompt, sampling.max_new_tokens)
        told = {"stream": True, "stream_options": {"include_usage": True}}
        return self._stream(self._request(prompt, sampling, 0) | told, counted, sampling)

    def _stream(self, body: object, counted: int, sampling: Sampling) -> Generator[str, None, Generation]:
        api, cut, reply = self._frame[0], Cut(sampling.stop), Reply("", None)
        with closing(self._server.stream(PATHS[api], body, partial(parse_event, api))) as parts:
            for part in parts:
                reply += part
                if len(reply.text) > sampling.max_new_tokens * TOKEN_CHARACTERS:
                    raise ModelError(f"{self._server.address} writes on after the tokens that it was asked for")
                if piece := cut.push(part.text):
                    yield piece
                if cut.done:
                    break
        if piece := cut.close():
            yield piece
        return self._generation(reply, counted, sampling)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As `LLM.score`, of plain text.

        Raises:
            PromptTooLongError: a prompt and its continuation exceed the window; nothing was scored.
            ModelError: as `check_scores`; or the server's tokens do not begin where a continuation does.
        """
        self.check_scores()
        for prompt, text in zip(prompts, continuations, strict=True):
            self.check_fits(prompt, self.tokenizer.count(text) + 1)  # the server generates one token
        wanted = [i for i, text in enumerate(continuations) if text]
        bodies, parses = self._echoes([str(prompts[i]) for i in wanted], [continuations[i] for i in wanted])
        found = self._server.post(PATHS["completions"], bodies, parses)
        scores = dict(zip(wanted, found, strict=True))
        return [scores.get(i, LogLikelihood(0.0, 0)) for i in range(len(prompts))]

    def _echoes(
        self, prompts: Sequence[str], continuations: Sequence[str]
    ) -> tuple[list[dict[str, object]], list[Callable[[object], LogLikelihood]]]:
        """Requests that repeat each prompt with its continuation: as token ids where the server gives them."""
        if not isinstance(self.tokenizer, ServerTokenizer):
            texts = [clean(prompt + text) for prompt, text in zip(prompts, continuations, strict=True)]
            return [echo_request(self.model, text) for text in texts], [partial(parse_echo, t) for t in continuations]
        heads, tails = self.tokenizer.encode(prompts, special=True), self.tokenizer.encode(continuations)
        pairs = list(zip(heads, tails, strict=True))
        bodies = [echo_request(self.model, head + tail) for head, tail in pairs]
        return bodies, [partial(parse_echoed_ids, len(head), len(tail)) for head, tail in pairs]

    def check_scores(self) -> None:
        """Ask the server, once, whether `score` can be had.

        Raises:
            ModelError: it cannot; says what to do instead.
        """
        if self._scores is None:
            [body], [parse] = self._echoes(["a b"], [" c"])
            self._scores = self._server.probe(PATHS["completions"], body, parse) is not None
        if not self._scores:
            raise ModelError(
                f"{self._server.address} does not give the log-probabilities of a prompt, which scoring needs: take a "
                "strategy that only generates (map_reduce, stuff), or serve the model with vLLM"
            )


def checked(address: str) -> str:
    """``address`` without a slash at the end.

    Raises:
        ConfigError: it is no address of a server, or holds a password, which has no place there.
    """
    base, mark, model = address.partition("#")
    base = base.rstrip("/")
    try:
        parts = urlsplit(base)
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and base.isprintable()
    except ValueError:
        parts, plain = None, False
    if not plain or parts is None or " " in base:
        raise ConfigError("a model server is named as http://host:port/v1, or http://host:port/v1#MODEL")
    if parts.username is not None or parts.query:
        raise ConfigError("a server's address holds no user, password or query: put the key into the environment")
    return base + mark + model
