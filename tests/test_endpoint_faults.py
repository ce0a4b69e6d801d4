"""`EndpointLLM` against servers that fail, lie, stall or are after the key: one line, never a hang."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm import endpoint_http
from ctxproc.llm.base import Sampling
from ctxproc.llm.endpoint import EndpointLLM, checked
from ctxproc.prompt import Prompt, Segment
from tests.endpoint_server import (
    CHAT,
    COMPLETIONS,
    MODELS,
    Answer,
    Request,
    Scripted,
    chat,
    events,
    running,
)
from tests.endpoint_server import no_network as no_network
from tests.endpoint_server import server as server

KEY = "sk-secret-0123456789"
PROMPT = Prompt((Segment("x", "task"),))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time here."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(endpoint_http, "pause", wait)
    return waited


def in_turn(*answers: object) -> object:
    """A route that gives these one after the other, the last one ever after; the probe gets its own."""
    left = list(answers)

    def route(request: Request) -> object:
        if request.body["max_tokens"] == 1:
            return chat("", prompt_tokens=1)
        return left.pop(0) if len(left) > 1 else left[0]

    return route


def error_line(llm: EndpointLLM) -> str:
    """The line of the error that a generation ends in."""
    with pytest.raises(ModelError) as caught:
        llm.generate([PROMPT], Sampling())
    line = str(caught.value)
    assert "\n" not in line and line.isprintable() and len(line) < 500
    return line


# ----- attempts -----


def test_what_may_pass_is_tried_again_after_growing_waits(server: Scripted, waits: list[float]) -> None:
    server.routes[CHAT] = in_turn(*[Answer(b"", status) for status in (500, 503, 429, 502)], chat("fine"))
    assert EndpointLLM(server.url).generate([PROMPT], Sampling())[0].text == "fine"
    assert [low <= wait <= 2 * low for low, wait in zip((0.25, 0.5, 1, 2), waits, strict=True)] == [True] * 4


def test_attempts_are_bounded_and_the_last_error_is_told(server: Scripted, waits: list[float]) -> None:
    server.routes[CHAT] = in_turn(Answer({"error": "model is loading"}, 503))
    line = error_line(EndpointLLM(server.url, retries=2))
    assert line == f"{server.url} answered 503 (model is loading): it is overloaded or broken; try later"
    assert len(server.sent(CHAT)) == 3 and len(waits) == 2


def test_the_servers_own_wait_is_kept(server: Scripted, waits: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    headers = [{"Retry-After": "7"}, {"Retry-After": date}, {"Retry-After": "soon"}, {"Retry-After": "-5"}]
    server.routes[CHAT] = in_turn(*[Answer(b"", 429, header) for header in headers], chat("fine"))
    assert EndpointLLM(server.url).generate([PROMPT], Sampling())[0].text == "fine"
    assert waits[0] == 7 and 20 < waits[1] <= 40 and waits[2] <= 2 and waits[3] <= 4


def test_a_wait_that_is_too_long_is_told_at_once(server: Scripted, waits: list[float]) -> None:
    server.routes[CHAT] = in_turn(Answer(b"", 429, {"Retry-After": "3600"}))
    assert "asks to wait 3600 s" in error_line(EndpointLLM(server.url))
    assert waits == []


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("12", 12), ("1e9", 0), ("", 0), ("Mon, 1 Jan 99999999999999 00:00:00 GMT", 0)]
)
def test_retry_after_by_value(value: str, seconds: float) -> None:
    assert endpoint_http.retry_after(value) == seconds
    assert endpoint_http.retry_after("9" * 400) == math.inf


def test_a_connection_that_drops_is_made_again(server: Scripted, waits: list[float]) -> None:
    def drop(request: Request) -> object:
        if len(server.sent(CHAT)) == 1:
            request.connection.shutdown(socket.SHUT_RDWR)
        return chat("fine", prompt_tokens=1)

    server.routes[CHAT] = drop
    assert EndpointLLM(server.url).generate([PROMPT], Sampling())[0].text == "fine"
    assert len(server.sent(CHAT)) == 2 == len(waits) + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_not_tried_again(server: Scripted, waits: list[float], status: int) -> None:
    server.routes[CHAT] = in_turn(Answer(b"", status))
    assert str(status) in error_line(EndpointLLM(server.url))
    assert len(server.sent(CHAT)) == 1 and waits == []


def test_one_failure_ends_the_others(server: Scripted) -> None:
    gone = threading.Event()

    def route(request: Request) -> object:
        if request.body["max_tokens"] == 1:
            return chat("", prompt_tokens=1)
        if request.body["seed"]:
            return Answer({"error": "broken"}, 400)
        request.connection.settimeout(20)
        if not request.connection.recv(1):  # the client hangs up
            gone.set()
        return chat("late")

    server.routes[CHAT] = route
    with pytest.raises(ModelError, match="broken"):
        EndpointLLM(server.url).generate([PROMPT, PROMPT], Sampling())
    assert gone.wait(20)


def test_no_server_is_told_at_once(waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match=f"cannot reach {url} .*is the server running there"):
            EndpointLLM(url)
    assert waits == []


# ----- answers that are none -----

NESTED = b"[" * 100_000
REPLIES = [
    (b"<html>welcome</html>", "it is no JSON"),
    (b"", "it is no JSON"),
    (b"\xff\xfe{}", "it is no JSON"),
    (NESTED, "it is no JSON"),
    (b"1" * 5000, "no"),
    ([], "it has no choices"),
    ({}, "it has no choices"),
    ({"choices": []}, "it has no choices"),
    ({"choices": {"0": 1}}, "it has no choices"),
    ({"choices": ["x"]}, "it has no choices"),
    ({"choices": [{"message": None}]}, "its text is none"),
    (chat(5), "its text is none"),
    (chat([{"type": "text", "text": "x"}]), "its text is none"),
    (chat("x" * (128 * 256 + 1)), "longer than was asked for"),
    (chat("x", prompt_tokens="many"), "a number of tokens is none"),
    (chat("x", completion_tokens=-1), "a number of tokens is none"),
    (chat("x", completion_tokens=True), "a number of tokens is none"),
    ({"error": json.loads("[" * 900 + "]" * 900)}, "it has no choices"),
    ({"detail": [{"msg": "field required"}]}, "field required"),
    ({"error": {"message": "out\nof \x1b[31mmemory"}}, "out of [31mmemory"),
]


@pytest.mark.parametrize(("body", "reason"), REPLIES)
def test_an_answer_of_another_form_is_one_line(server: Scripted, body: object, reason: str) -> None:
    server.routes[CHAT] = in_turn(body)
    line = error_line(EndpointLLM(server.url))
    assert line.startswith(f"{server.url} gave an answer that is of no use: ") and reason in line


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        [],
        {"data": 1},
        {"data": [{}]},
        {"data": [{"id": "x", "max_model_len": "y"}]},
        {"data": [{"id": "a\x1b[31m"}]},
    ],
)
def test_a_list_of_models_of_another_form_is_one_line(server: Scripted, body: object) -> None:
    server.routes[MODELS] = lambda _: body
    with pytest.raises(ModelError, match="of no use"):
        EndpointLLM(server.url)


@pytest.mark.parametrize("body", [b"x", {}, {"tokens": 5}, {"tokens": ["a"]}, Answer({}, 500), Answer(b"", 302)])
def test_a_count_of_another_form_is_not_used(server: Scripted, body: object, waits: list[float]) -> None:
    server.routes["/tokenize"] = lambda _: body
    assert EndpointLLM(server.url).tokenizer.count("abc") == 3
    assert waits == []


def test_a_huge_answer_is_not_read_to_its_end(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_http, "REPLY_BYTES", 100_000)
    server.routes[CHAT] = lambda request: (
        chat("", prompt_tokens=1) if request.body["max_tokens"] == 1 else Answer(itertools.repeat(b" " * 1000))
    )
    assert "larger than 100000 bytes" in error_line(EndpointLLM(server.url))


def test_packed_bytes_are_not_unpacked(server: Scripted) -> None:
    import gzip

    server.routes[CHAT] = in_turn(
        Answer(gzip.compress(json.dumps(chat("x")).encode()), 200, {"Content-Encoding": "gzip"})
    )
    assert "it is no JSON" in error_line(EndpointLLM(server.url))


# ----- streams -----

STREAMS = [
    (events("a")[:-30], "it broke off"),
    (b"", "it broke off"),
    (b"data: {nothing}\n\n", "it is no JSON"),
    (b'data: "x"\n\n', "an event has no choices"),
    (b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
    (b'data: {"choices": [{"delta": {"content": 5}}]}\n\n', "an event's text is none"),
    (b"data: \xff\n\n", "it is no JSON"),
    (b"x" * (1 << 21), "a line of the stream has no end"),
]


@pytest.mark.parametrize(("raw", "reason"), STREAMS)
def test_a_broken_stream_is_one_line(server: Scripted, raw: bytes, reason: str) -> None:
    server.routes[CHAT] = in_turn(Answer(iter([raw])))
    with pytest.raises(ModelError, match=reason) as caught:
        list(EndpointLLM(server.url).stream(PROMPT, Sampling()))
    assert "\n" not in str(caught.value)
    assert len(server.sent(CHAT)) == 1


ENDLESS = [
    (
        events("word " * 50, finish=None).partition(b"\n\n")[0] + b"\n\n",
        "writes on after the tokens that it was asked for",
    ),
    (b": still here\n\n" * 1000, "larger than 1000000 bytes"),
]


@pytest.mark.parametrize(("piece", "reason"), ENDLESS)
def test_an_endless_stream_is_ended(
    server: Scripted, piece: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_http, "REPLY_BYTES", 1_000_000)
    server.routes[CHAT] = in_turn(Answer(itertools.repeat(piece)))
    with pytest.raises(ModelError, match=reason):
        list(EndpointLLM(server.url).stream(PROMPT, Sampling(max_new_tokens=4)))


def test_closing_a_stream_or_a_stop_string_hangs_up(server: Scripted) -> None:
    gone = threading.Event()

    def pieces(request: Request) -> Iterator[bytes]:
        yield events("first", finish=None).split(b"\n\n")[0] + b"\n\n"
        request.connection.settimeout(20)
        if not request.connection.recv(1):
            gone.set()

    server.routes[CHAT] = lambda request: (
        Answer(pieces(request)) if request.body.get("stream") else chat("", prompt_tokens=1)
    )
    stream = EndpointLLM(server.url).stream(PROMPT, Sampling())
    assert next(stream) == "first"
    stream.close()
    assert gone.wait(20)
    gone.clear()
    assert list(EndpointLLM(server.url).stream(PROMPT, Sampling(stop=("st",)))) == ["fir"]
    assert gone.wait(20)


# ----- time -----


def silent(request: Request) -> object:
    """Says nothing until the client hangs up."""
    request.connection.settimeout(20)
    request.connection.recv(1)
    return chat("late")


def impatient(server: Scripted) -> EndpointLLM:
    """A model that has met its server, and from now on waits 0.3 s at most."""
    llm = EndpointLLM(server.url)
    assert llm.wrapping_tokens
    llm._server._timeout = 0.3
    return llm


def test_a_server_that_says_nothing_is_given_up(server: Scripted, waits: list[float]) -> None:
    llm = impatient(server)
    server.routes[CHAT] = silent
    assert error_line(llm) == f"{server.url} was not done within 0.3 s: raise endpoint.timeout"
    assert waits == []


def test_a_server_that_drips_is_given_up(server: Scripted) -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b": wait\n\n"
            time.sleep(0.01)

    llm = impatient(server)
    server.routes[CHAT] = in_turn(Answer(drip()))
    with pytest.raises(ModelError, match=r"not done within 0.3 s"):
        list(llm.stream(PROMPT, Sampling()))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also in a program that a shell started in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_waiting_and_hangs_up(server: Scripted) -> None:
    llm, gone = EndpointLLM(server.url), threading.Event()
    assert llm.wrapping_tokens

    def route(request: Request) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        silent(request)
        gone.set()
        return chat("late")

    server.routes[CHAT] = route
    with pytest.raises(KeyboardInterrupt):
        llm.generate([PROMPT], Sampling())
    assert gone.wait(20)


# ----- the key, and where requests go -----


def test_the_key_is_read_from_the_named_variable_alone(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OTHER_KEY", "other\n")
    for name, sent in (("OPENAI_API_KEY", f"Bearer {KEY}"), ("OTHER_KEY", "Bearer other"), ("", None), ("NONE", None)):
        EndpointLLM(server.url, key_env=name)
        assert server.requests[-1].headers.get("Authorization") == sent


def test_the_key_goes_to_no_other_server(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running() as other:
        for status in (301, 302, 303, 307, 308):
            server.routes[CHAT] = in_turn(Answer(b"", status, {"Location": other.url + "/chat/completions"}))
            assert "it redirects, which is not followed" in error_line(EndpointLLM(server.url))
        server.routes[MODELS] = lambda _: Answer(b"", 307, {"Location": other.url + "/models"})
        with pytest.raises(ModelError, match="redirects"):
            EndpointLLM(server.url)
        assert other.requests == []


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
def test_the_key_is_in_no_error(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(0)
    server.routes[CHAT] = in_turn(Answer({"error": {"message": f"no such key: {KEY} is {KEY}"}}, status))
    llm = EndpointLLM(server.url, retries=0)
    assert KEY not in error_line(llm) and KEY[:8] not in error_line(llm)
    assert KEY not in caplog.text and KEY not in repr(vars(llm))


def test_a_refused_key_names_the_variable(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes[MODELS] = lambda _: Answer(b"", 401)
    with pytest.raises(
        ModelError, match=r"without a key \(401\): put one into the environment variable OPENAI_API_KEY"
    ):
        EndpointLLM(server.url)
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(ModelError, match=r"refuses the key in the environment variable MY_KEY \(401\)"):
        EndpointLLM(server.url, key_env="MY_KEY")


@pytest.mark.parametrize("key", ["one\ntwo", "schlüssel", "a\x00b"])
def test_a_key_that_is_none_is_not_sent(server: Scripted, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    if "\x00" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    else:
        monkeypatch.setattr(os, "environ", {**os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        EndpointLLM(server.url)
    assert key not in str(caught.value) and server.requests == []


def test_a_proxy_of_the_environment_plays_no_part(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert EndpointLLM(server.url).generate([PROMPT], Sampling())[0].text == "<x>"
        assert proxy.requests == []


def test_a_prompt_that_is_too_long_for_the_server_names_the_setting(server: Scripted) -> None:
    said = "This model's maximum context length is 512 tokens."
    server.routes[CHAT] = in_turn(Answer({"error": {"message": said}}, 400))
    assert f"({said}): the prompt is too long for it: set context_window" in error_line(EndpointLLM(server.url))


def test_a_wrong_path_names_what_to_check(server: Scripted) -> None:
    with pytest.raises(ModelError, match=r"answered 404 \(no such path\): check .* the address, .* \(/v2/models\)"):
        EndpointLLM(server.url.replace("/v1", "/v2"))
    server.routes[CHAT] = in_turn(Answer({"message": "The model `fake` does not exist."}, 404))
    assert "The model `fake` does not exist." in error_line(EndpointLLM(server.url, api="chat"))


def test_addresses() -> None:
    assert checked("http://localhost:1/v1/#a/b#c") == "http://localhost:1/v1#a/b#c"
    assert checked("https://[::1]/v1") == "https://[::1]/v1"
    for wrong in (
        "",
        "http://",
        "ftp://host/v1",
        "http://host:x/v1",
        "http://ho st/v1",
        "http://[::1/v1",
        "http://h\n/v1",
    ):
        with pytest.raises(ConfigError, match="is named as http://host:port/v1"):
            checked(wrong)
    for secret in ("http://user:pass@host/v1", "http://token@host/v1", "http://host/v1?key=abc"):
        with pytest.raises(ConfigError, match="no user, password or query") as caught:
            checked(secret)
        assert "pass" not in str(caught.value).replace("password", "") and "abc" not in str(caught.value)


def test_nothing_is_left_behind(server: Scripted) -> None:
    import gc

    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "ctxproc-endpoint"]

    gc.collect()
    before = len(ours())
    llm = EndpointLLM(server.url)
    assert llm.generate([PROMPT], Sampling())[0].text == "<x>" and len(ours()) == before + 1
    [thread] = ours()[before:]
    del llm
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()
    assert COMPLETIONS not in [request.path for request in server.requests]
