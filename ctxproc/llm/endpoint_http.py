"""Talking to one model server: time-outs, retries, limits, errors in one line. What is said is endpoint_wire.py's.

Redirects are not followed, so the key reaches the named server alone. Proxies and ``.netrc`` of the environment play
no part. Certificates are checked against those that the system trusts (``SSL_CERT_FILE`` names others).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.endpoint_loop import Loop, all_of
from ctxproc.llm.endpoint_wire import Events, Reply, error_of, parse_json

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_SECONDS = 10.0
FIRST_WAIT = 0.5  # seconds before the second attempt; doubled for each further one
LONGEST_WAIT = 30.0
LONGEST_RETRY_AFTER = 60.0  # a server that asks for more is not waited for
REPLY_BYTES = 1 << 25
ERROR_BYTES = 1 << 16
TELLS_NOTHING = (401, 403, 429, 502, 503, 504)  # about whether a server has a part
LONG_PROMPT = ("context length", "context size", "context window", "maximum context", "too long", "max_model_len")


pause = asyncio.sleep  # between attempts


class HttpError(ModelError):
    """The server's answer is not what was asked for: ``status``, and what it ``said``."""

    def __init__(self, line: str, status: int, said: str = "") -> None:
        super().__init__(line)
        self.status, self.said = status, said


class Again(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        error: what to raise when there is no further attempt.
        wait: seconds that the server asked for.
    """

    def __init__(self, error: ModelError, wait: float = 0.0) -> None:
        self.error, self.wait = error, wait


class Server:
    """One server, its connections and its rules. Any thread may call it, also one that runs an event loop.

    Args:
        address: ``http://host:port/v1``; paths that begin with ``/`` are put behind it.
        key_env: the environment variable that holds the key; an absent one means no key.
        timeout: seconds from sending a request to the last byte of its answer.
        retries: further attempts after 429, 5xx and a failed connection.
        concurrency: requests under way at once.

    Raises:
        ConfigError: the key has characters that no header can carry.
    """

    def __init__(self, address: str, *, key_env: str, timeout: float, retries: int, concurrency: int) -> None:
        import ssl

        import httpx

        self.address = address
        self.root = address.removesuffix("/v1")
        self._key_env, self._timeout, self._retries = key_env, timeout, retries
        self._key = os.environ.get(key_env, "").strip() if key_env else ""
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigError(f"the key in the environment variable {key_env} has characters that no key has")
        headers = {"Accept-Encoding": "identity", "User-Agent": "ctxproc"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(),
        )
        self._slots = asyncio.Semaphore(concurrency)
        self._answered = False
        self._loop = Loop(self._client.aclose)

    def get(self, url: str, parse: Callable[[object], T]) -> T:
        """What ``parse`` makes of the answer to a GET.

        Raises:
            HttpError: another status than 200, or an answer that ``parse`` raises a ValueError for.
            ModelError: no answer.
        """
        return self._loop.wait(self._exchange("GET", url, None, self._reader(parse)))

    def post(self, url: str, bodies: Sequence[object], parses: Sequence[Callable[[object], T]]) -> list[T]:
        """The parsed answers to several POSTs, in order; the first error ends them all.

        Raises:
            HttpError, ModelError: as `get`.
        """
        pairs = zip(bodies, parses, strict=True)
        return self._loop.wait(
            all_of([self._exchange("POST", url, body, self._reader(parse)) for body, parse in pairs])
        )

    def probe(self, url: str, body: object, parse: Callable[[object], T]) -> T | None:
        """The parsed answer of a part that a server may lack, or None where it lacks it.

        Raises:
            ModelError: no answer at all.
        """
        method = "GET" if body is None else "POST"
        try:
            return self._loop.wait(self._exchange(method, url, body, self._reader(parse), probing=True))
        except HttpError as error:
            if error.status in TELLS_NOTHING:
                raise
            return None

    def stream(self, url: str, body: object, parse: Callable[[object], Reply]) -> Generator[Reply]:
        """The parts of a streamed reply as they come; closing the generator ends the request.

        Raises:
            HttpError, ModelError: as `get`; also when the stream breaks off before its end.
        """
        return self._loop.pieces(
            lambda put: self._exchange("POST", url, body, lambda response: self._pump(response, parse, put))
        )

    async def _exchange(
        self,
        method: str,
        url: str,
        body: object,
        read: Callable[[httpx.Response], Awaitable[T]],
        probing: bool = False,
    ) -> T:
        """One request in a free slot, repeated while that may help; ``probing``: a 500 is an answer."""
        left, wait = self._retries, FIRST_WAIT
        async with self._slots:
            while True:
                try:
                    async with asyncio.timeout(self._timeout):
                        return await self._once(method, url, body, read)
                except TimeoutError:
                    raise ModelError(
                        f"{self.address} was not done within {self._timeout:g} s: raise endpoint.timeout"
                    ) from None
                except Again as again:
                    status = again.error.status if isinstance(again.error, HttpError) else 0
                    final = probing and status not in (0, *TELLS_NOTHING)
                    if final or not left or again.wait > LONGEST_RETRY_AFTER:
                        raise again.error from None
                    await pause(max(again.wait, min(wait, LONGEST_WAIT) * random.uniform(0.5, 1.0)))
                left, wait = left - 1, 2 * wait

    async def _once(self, method: str, url: str, body: object, read: Callable[[httpx.Response], Awaitable[T]]) -> T:
        import httpx

        target = self.address + url if url.startswith("/") else url
        try:
            async with self._client.stream(method, target, json=body) as response:
                self._answered = True
                if response.status_code != 200:
                    raise await self._refusal(response)
                return await read(response)
        except httpx.TransportError as error:
            reason = self._line(str(error)) or type(error).__name__
            failure = ModelError(f"cannot reach {self.address} ({reason}): is the server running there?")
            if not self._answered and isinstance(error, httpx.ConnectError):
                raise failure from None
            raise Again(failure) from None

    async def _refusal(self, response: httpx.Response) -> Exception:
        """The error of an answer with another status than 200."""
        status = response.status_code
        try:
            said = self._line(error_of(parse_json(await self._body(response, ERROR_BYTES))))
        except ValueError:
            said = ""
        named = f"{self.address} answered {status}" + (f" ({said})" if said else "")
        if status in (401, 403):
            key = f"the key in the environment variable {self._key_env}" if self._key else "a request without a key"
            hint = "check it" if self._key else f"put one into the environment variable {self._key_env or '...'}"
            return HttpError(f"{self.address} refuses {key} ({status}): {hint}", status)
        if 300 <= status < 400:
            return HttpError(f"{named}: it redirects, which is not followed: give the address it redirects to", status)
        if status == 429 or (status >= 500 and status != 501):
            wait = retry_after(response.headers.get("retry-after", ""))
            more = f" and asks to wait {wait:.0f} s" if wait > LONGEST_RETRY_AFTER else ""
            return Again(HttpError(f"{named}{more}: it is overloaded or broken; try later", status, said), wait)
        if any(words in said.lower() for words in LONG_PROMPT):
            hint = "the prompt is too long for it: set context_window to what it can read"
        elif status == 404:
            hint = f"check the model's name, and the address, which mostly ends in /v1 ({response.url.path})"
        else:
            hint = "it does not take this request"
        return HttpError(f"{named}: {hint}", status, said)

    def _reader(self, parse: Callable[[object], T]) -> Callable[[httpx.Response], Awaitable[T]]:
        async def read(response: httpx.Response) -> T:
            try:
                return parse(parse_json(await self._body(response, REPLY_BYTES)))
            except ValueError as error:
                raise self._unreadable(error) from None

        return read

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        """The bytes of an answer as sent: nothing is unpacked."""
        parts, size = [], 0
        async for part in response.aiter_raw():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ValueError(f"it is larger than {limit} bytes")
        return b"".join(parts)

    async def _pump(
        self, response: httpx.Response, parse: Callable[[object], Reply], put: Callable[[Reply], object]
    ) -> None:
        """Hand on each part of a stream until its end. Once it began there is no further attempt.

        A reply that has ended may be followed by its counts; it is whole without them.
        """
        import httpx

        events, size, ended = Events(), 0, False
        try:
            async for raw in response.aiter_raw():
                size += len(raw)
                if size > REPLY_BYTES:
                    raise ValueError(f"it is larger than {REPLY_BYTES} bytes")
                for data in events.push(raw):
                    if data == b"[DONE]":
                        return
                    part = parse(parse_json(data))
                    put(part)
                    ended = ended or part.finish is not None
                    if ended and part.new_tokens is not None:
                        return
            if not ended:
                raise ValueError("it broke off")
        except ValueError as error:
            raise self._unreadable(error) from None
        except httpx.TransportError:
            if not ended:
                raise self._unreadable(ValueError("it broke off")) from None

    def _unreadable(self, error: ValueError) -> HttpError:
        return HttpError(f"{self.address} gave an answer that is of no use: {self._line(str(error))}", 200)

    def _line(self, text: str) -> str:
        """A server's words in one short line, without control characters and without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing of use."""
    if value.strip().isdecimal():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
        return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0
