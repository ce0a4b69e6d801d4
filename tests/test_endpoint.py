"""`EndpointLLM` against a scripted server: what is sent, what comes back, order, streams, counts, scores."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import ctxproc
from ctxproc.config import Settings
from ctxproc.errors import ConfigError, ModelError, PromptTooLongError
from ctxproc.llm.base import Generation, LogLikelihood, Sampling, Token, finished
from ctxproc.llm.constraint import Constraint
from ctxproc.llm.endpoint import EndpointLLM
from ctxproc.llm.endpoint_tokenizer import ByteTokenizer
from ctxproc.llm.endpoint_wire import Cut, Events
from ctxproc.prompt import Prompt, Segment
from tests.endpoint_server import (
    CHAT,
    COMPLETIONS,
    MODELS,
    Answer,
    Request,
    Scripted,
    chat,
    completion,
    events,
    prompt_of,
    stream,
)
from tests.endpoint_server import no_network as no_network
from tests.endpoint_server import server as server


def prompt(*texts: str) -> Prompt:
    return Prompt(tuple(Segment(text, "task") for text in texts))


def test_a_prompt_is_one_user_message_and_every_setting_is_sent(server: Scripted) -> None:
    server.routes[CHAT] = lambda _: chat(
        "a lamp", "length", prompt_tokens=9, completion_tokens=2, prompt_tokens_details={"cached_tokens": 5}
    )
    sampling = Sampling(max_new_tokens=20, temperature=0.7, top_p=0.9, top_k=4, seed=3, stream=5, stop=("\n", ""))
    made = EndpointLLM(server.url).generate([prompt("Who ", "keeps\ud800 it?")], sampling)
    assert made == [Generation("a lamp", 9, 2, 5, "length")]
    assert server.sent(CHAT) == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "Who keeps\ufffd it?"}],
            "max_tokens": 20,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 4,
            "seed": 3_000_014,
            "stop": ["\n"],
        }
    ]


def test_greedy_sends_no_top_k_and_no_stop_and_missing_usage_is_counted(server: Scripted) -> None:
    server.routes[CHAT] = lambda _: chat("été", None)
    llm = EndpointLLM(f"{server.url}/#fake", api="chat")
    assert llm.generate([prompt("ab")], Sampling()) == [Generation("été", llm.wrapping_tokens + 2, 5)]
    assert llm.wrapping_tokens == 64 + 8 + 512 // 64
    assert not {"top_k", "stop", "response_format"} & set(server.sent(CHAT)[0])
    assert llm.name == f"{server.url}#fake"


def test_the_chat_template_is_measured_once(server: Scripted) -> None:
    llm = EndpointLLM(server.url)
    assert llm.wrapping_tokens == 7 + 8 + 512 // 64
    assert llm.count_tokens(prompt("abc", "é")) == 23 + 3 + 2
    assert [request.body["max_tokens"] for request in server.requests if request.path == CHAT] == [1]


@pytest.mark.parametrize("absent", [Answer({"detail": "Not Found"}, 404), Answer(b"", 405), Answer(b"", 501)])
def test_without_chat_completions_are_taken(server: Scripted, absent: Answer) -> None:
    server.routes[CHAT] = lambda _: absent
    server.routes[COMPLETIONS] = lambda request: completion(f"[{prompt_of(request)}]")
    llm = EndpointLLM(server.url)
    assert [made.text for made in llm.generate([prompt("x"), prompt("y")], Sampling())] == ["[x]", "[y]"]
    assert len([request for request in server.requests if request.path == CHAT]) == 1
    with pytest.raises(ModelError, match=r"answered (404|405|501)"):
        EndpointLLM(server.url, api="chat").generate([prompt("x")], Sampling())


def test_a_model_without_chat_template_completes(server: Scripted) -> None:
    said = "default chat template is no longer allowed, so you must provide a chat template"
    server.routes[CHAT] = lambda _: Answer({"error": {"message": said}}, 400)
    server.routes[COMPLETIONS] = lambda _: completion("fine")
    assert EndpointLLM(server.url).generate([prompt("x")], Sampling())[0].text == "fine"


def test_order_is_kept_and_concurrency_is_used_and_bounded(server: Scripted) -> None:
    llm = EndpointLLM(server.url, concurrency=3)
    assert llm.wrapping_tokens
    together, lock, under_way, most = threading.Barrier(3, timeout=20), threading.Lock(), 0, 0

    def slow(request: Request) -> object:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()  # passes only where three requests are under way at once
        time.sleep(0.05)  # for a fourth to come, if it were let through
        with lock:
            under_way -= 1
        return chat(prompt_of(request))

    server.routes[CHAT] = slow
    made = llm.generate([prompt(str(i)) for i in range(12)], Sampling())
    assert [item.text for item in made] == [str(i) for i in range(12)]
    assert most == 3
    assert [body["seed"] for body in sorted(server.sent(CHAT), key=lambda body: body["seed"])] == list(range(12))


def test_it_works_where_a_loop_is_running(server: Scripted) -> None:
    async def notebook() -> str:
        llm = EndpointLLM(server.url)
        return llm.generate([prompt("x")], Sampling())[0].text + "".join(llm.stream(prompt("x"), Sampling()))

    def route(request: Request) -> object:
        return Answer(iter([events("y")])) if request.body.get("stream") else chat(prompt_of(request))

    server.routes[CHAT] = route
    assert asyncio.run(notebook()) == "xy"


def test_a_prompt_that_does_not_fit_is_not_sent(server: Scripted) -> None:
    llm = EndpointLLM(server.url)
    with pytest.raises(PromptTooLongError):
        llm.generate([prompt("x"), prompt("y" * (512 - 23 - 99))], Sampling(max_new_tokens=100))
    assert server.sent(CHAT) == []
    assert len(llm.generate([prompt("y" * (512 - 23 - 100))], Sampling(max_new_tokens=100))) == 1
    assert llm.generate([], Sampling()) == []


def test_text_ends_before_the_first_stop_string(server: Scripted) -> None:
    server.routes[CHAT] = lambda _: chat("one\nQuote: two", "length")
    made = EndpointLLM(server.url).generate([prompt("x")], Sampling(stop=("Quote", "\nQuote")))
    assert (made[0].text, made[0].finish) == ("one", "stop")


def test_a_stream_may_be_cut_anywhere(server: Scripted) -> None:
    raw = (
        b": hello\r\n\r\nevent: x\r\n"
        + events("né", "", "e 🌍", "!\n").replace(b"\n\n", b"\r\n\r\n")
        + b"data: [DONE]\n\n"
    )
    for size in (1, 2, 3, 7, len(raw)):
        pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
        server.routes[CHAT] = lambda request, pieces=pieces: (
            Answer(iter(pieces)) if request.body.get("stream") else chat("")
        )
        assert list(EndpointLLM(server.url).stream(prompt("x"), Sampling())) == ["né", "e 🌍", "!\n"]
    assert server.sent(CHAT)[-1]["stream"] is True


def streamed(server: Scripted, raw: bytes, sampling: Sampling) -> tuple[list[str], Generation, int]:
    """The pieces, the generation, and the prompt's tokens as counted here."""
    server.routes[CHAT] = lambda request: Answer(iter([raw])) if request.body.get("stream") else chat("")
    llm, told = EndpointLLM(server.url), list[str]()
    return told, finished(llm.stream(prompt("x"), sampling), told.append), llm.count_tokens(prompt("x"))


USAGE = {"prompt_tokens": 31, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}


def test_a_stream_returns_the_servers_counts(server: Scripted) -> None:
    end = {"choices": [{"delta": {}, "finish_reason": "length"}]}
    texts = [{"choices": [{"delta": {"content": text}}], "usage": None} for text in ("né", "e")]
    wanted = Generation("née", 31, 4, 20, "length")
    for tail in ((end, {"choices": [], "usage": USAGE}), ({**end, "usage": USAGE},)):
        assert streamed(server, stream(*texts, *tail) + b"data: [DONE]\n\n", Sampling())[:2] == (["né", "e"], wanted)
    assert server.sent(CHAT)[-1]["stream_options"] == {"include_usage": True}
    for rest in (b"data: [DONE]\n\n", b""):
        told, made, counted = streamed(server, stream(*texts, end) + rest, Sampling())
        assert made == Generation("née", counted, 4, 0, "length")  # bytes are counted here
    told, made, counted = streamed(server, stream(*texts, end), Sampling(stop=("é",)))
    assert (told, made) == (["n"], Generation("n", counted, 1))


LOGPROBS = [
    ("a l", None, -0.5),
    ("\ufffd", [0xC3], -1.0),
    ("\ufffd", [0xA4], -0.25),
    ("mp", None, -2.0),
    ("<end>", None, -3),
]


def test_log_probabilities_come_with_the_text_that_each_token_made_certain(server: Scripted) -> None:
    rows = [{"token": token, "bytes": raw, "logprob": value} for token, raw, value in LOGPROBS]
    reply = {"choices": [{"message": {"content": "a lämp"}, "finish_reason": "stop", "logprobs": {"content": rows}}]}
    server.routes[CHAT] = lambda _: reply
    llm, asked = EndpointLLM(server.url), Sampling(logprobs=True)
    tokens = (Token("a l", -0.5), Token("", -1.0), Token("ä", -0.25), Token("mp", -2.0), Token("", -3.0))
    assert llm.generate([prompt("x")], asked)[0].tokens == tokens
    assert server.sent(CHAT)[-1]["logprobs"] is True
    cut = llm.generate([prompt("x")], replace(asked, stop=("mp",)))[0]
    assert cut.text == "a lä" and cut.tokens == (*tokens[:3], Token("", -2.0))
    held = llm.generate([prompt("x")], replace(asked, stop=("lämps",)))[0]
    assert held.tokens == (Token("a ", -0.5), Token("", -1.0), Token("", -0.25), Token("", -2.0), Token("lämp", -3.0))
    assert llm.generate([prompt("x")], Sampling())[0].tokens == () and "logprobs" not in server.sent(CHAT)[-1]
    parts = [
        {"choices": [{"delta": {"content": text}, "logprobs": {"content": rows[a:b]}, "finish_reason": end}]}
        for text, a, b, end in (("a l", 0, 2, None), ("ämp", 2, 4, None), ("", 4, 5, "stop"))
    ]
    assert streamed(server, stream(*parts), asked)[1].tokens == tokens


def test_tokens_that_do_not_spell_the_text_are_none(server: Scripted) -> None:
    def tokens(text: str, names: list[str], values: object = None) -> tuple[Token, ...]:
        given = {"tokens": names, "token_logprobs": [-1.0] * len(names) if values is None else values}
        server.routes[COMPLETIONS] = lambda _: {"choices": [{"text": text, "finish_reason": "stop", "logprobs": given}]}
        llm = EndpointLLM(server.url, api="completions")
        return llm.generate([prompt("x")], Sampling(logprobs=True))[0].tokens

    assert tokens("ab", ["a", "b"]) == (Token("a", -1.0), Token("b", -1.0))
    assert tokens("ab", ["a", "c"]) == tokens("ab", ["a"]) == tokens("ab", []) == tokens("ab", ["a", "bc"]) == ()
    assert server.sent(COMPLETIONS)[-1]["logprobs"] == 1
    for wrong in ([-1.0], [-1.0, "x"], [-1.0, 0.5], [-1.0, None], [-1.0, True], "xy"):
        assert tokens("ab", ["a", "b"], wrong) == ()


def test_a_stream_of_completions_ends_without_done(server: Scripted) -> None:
    last = b'data: {"choices": [], "usage": {}}\n\ndata:{"choices": [{"text": "b", "finish_reason": "stop"}]}\n\n'
    server.routes[COMPLETIONS] = lambda request: (
        Answer(iter([b'data: {"choices": [{"text": "a"}]}\n\n', last]))
        if request.body.get("stream")
        else completion("")
    )
    assert list(EndpointLLM(server.url, api="completions").stream(prompt("x"), Sampling())) == ["a", "b"]


def test_a_stream_ends_before_a_stop_string_that_comes_in_pieces(server: Scripted) -> None:
    server.routes[CHAT] = lambda request: (
        Answer(iter([events("a lamp En", "d", "ing EN", "D of it")])) if request.body.get("stream") else chat("")
    )
    sampling = Sampling(stop=("END", "Enough"))
    assert "".join(EndpointLLM(server.url).stream(prompt("x"), sampling)) == "a lamp Ending "


@pytest.mark.parametrize("text", ["abcabd", "ababab", "aab", "xabcy", ""])
def test_cutting_piece_by_piece_is_cutting_at_once(text: str) -> None:
    for stop in (["abd"], ["abc", "bab"], ["b", "aab"], [""], []):
        ends = [text.find(string) for string in stop if string and string in text]
        for size in (1, 2, 3, 9):
            cut = Cut(stop)
            pieces = [cut.push(text[i : i + size]) for i in range(0, len(text), size)]
            found = "".join(pieces) + cut.close()
            assert found == text[: min(ends, default=len(text))]
            assert cut.done == bool(ends)


def test_events_of_several_lines_are_joined() -> None:
    reader = Events()
    assert list(reader.push(b"data: a\ndata:b\n")) == []
    assert list(reader.push(b"\n\ndata: c")) == [b"a\nb"]
    assert list(reader.push(b"\r\n\r\n")) == [b"c"]


def test_a_schema_is_sent_and_its_form_is_looked_at(server: Scripted) -> None:
    server.routes[CHAT] = lambda _: chat('{"a": 1}')
    llm, schema = EndpointLLM(server.url), {"type": "object"}
    sampling = Sampling(constraint=Constraint(json_schema=schema))
    assert llm.generate([prompt("x")], sampling)[0].text == '{"a": 1}'
    form = server.sent(CHAT)[0]["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    server.routes[CHAT] = lambda _: chat("sure!")
    with pytest.raises(ModelError, match="does not keep to json_schema"):
        llm.generate([prompt("x")], sampling)
    sent = len(server.requests)
    with pytest.raises(ConfigError, match="use json_schema"):
        llm.generate([prompt("x")], Sampling(constraint=Constraint(choices=("yes", "no"))))
    assert len(server.requests) == sent


# ----- tokens and windows -----


def test_bytes_are_counted_where_the_server_does_not_count(server: Scripted) -> None:
    llm = EndpointLLM(server.url)
    tokenizer = llm.tokenizer
    assert isinstance(tokenizer, ByteTokenizer)
    [notice] = llm.notices()
    assert f"{server.url} does not count tokens" in notice
    assert llm.notices() == []
    assert tokenizer.count_batch(["", "abc", "é", "🌍", "\ud800"]) == [0, 3, 2, 4, 3]
    assert tokenizer.starts("aé🌍b") == [0, 1, 1, 2, 2, 2, 2, 3]
    assert tokenizer.starts("abc") == [0, 1, 2]


def words(request: Request) -> object:
    """A /tokenize as vLLM has it: ids are lengths of words, begin-of-text is 0."""
    body = request.body
    assert body["prompt"] == body["content"]
    assert body["add_special_tokens"] == body["add_special"]
    ids = [len(word) for word in body["prompt"].split()]
    return {"tokens": [0, *ids] if body["add_special"] else ids, "count": -1}


def test_the_server_counts_where_it_can_and_is_asked_once_per_text(server: Scripted) -> None:
    server.routes["/tokenize"] = words
    llm = EndpointLLM(server.url)
    texts = ["the old lamp", "", "x", "the old lamp"]
    assert llm.notices() == []
    assert llm.tokenizer.count_batch(texts) == [3, 0, 1, 3]
    assert llm.tokenizer.count("x") == 1
    assert sorted(body["prompt"] for body in server.sent("/tokenize")) == ["a b", "the old lamp", "x"]
    starts = llm.tokenizer.starts("été de lampe")
    assert starts == [0, 2, 7]  # 14 bytes in 3 tokens: bytes 0, 4, 9
    assert llm.tokenizer.starts("") == [] == llm.tokenizer.starts("  ")


def test_a_tokenizer_of_this_machine_is_taken_when_named(server: Scripted, tmp_path: Path) -> None:
    from tests.models import build, byte_tokenizer

    build(tmp_path / "model", "llama", byte_tokenizer())
    llm = EndpointLLM(server.url, tokenizer=str(tmp_path / "model"))
    assert llm.tokenizer.count("in the on") == 4  # "in", " the", " ", "on"
    assert "/tokenize" not in [request.path for request in server.requests]


def test_the_window_is_the_servers_or_a_smaller_one(server: Scripted) -> None:
    assert EndpointLLM(server.url).context_window == 512
    assert EndpointLLM(server.url, context_window=100).context_window == 100
    with pytest.raises(ConfigError, match="context_window 513"):
        EndpointLLM(server.url, context_window=513)
    server.routes[MODELS] = lambda _: {"data": [{"id": "a"}, {"id": "b", "context_length": 64}]}
    assert EndpointLLM(f"{server.url}#b").context_window == 64
    with pytest.raises(
        ConfigError, match=f"{server.url} does not tell how many tokens it can read: set context_window"
    ):
        EndpointLLM(server.url)
    assert EndpointLLM(server.url, context_window=99).model == "a"
    server.routes["/props"] = lambda _: {"default_generation_settings": {"n_ctx": 256}}
    assert EndpointLLM(server.url).context_window == 256


def test_a_named_model_needs_no_list(server: Scripted) -> None:
    server.routes[MODELS] = lambda _: Answer(b"Internal Server Error", 500)
    assert EndpointLLM(f"{server.url}#org/name", context_window=64).name == f"{server.url}#org/name"
    server.routes[MODELS] = lambda _: {"data": []}
    with pytest.raises(ModelError, match=f"lists no model: name one as {server.url}#MODEL"):
        EndpointLLM(server.url)


# ----- scores -----

ONE_GENERATED = {"tokens": [" c"], "token_logprobs": [-1.0]}
VALUES = {"The": None, " lamp": -1.5, " is": -0.25, " lit": -2.0, " not": -0.5}


def echo(request: Request) -> object:
    """Completions that echo, as vLLM does: one token is generated, which is not to be counted."""
    if not request.body.get("echo"):
        return completion("x", prompt_tokens=1)
    assert request.body["max_tokens"] == 1
    shown = request.body["prompt"]
    tokens = shown if isinstance(shown, list) else ["The", *(" " + word for word in shown.split()[1:])]
    values = [None if i == 0 else VALUES.get(str(token), -0.125 * i) for i, token in enumerate(tokens)]
    logprobs = {"tokens": [*map(str, tokens), " lit"], "token_logprobs": [*values, -9.0]}
    choice = {"text": "", "logprobs": logprobs, "finish_reason": "length"}
    return {"choices": [choice], "usage": {"completion_tokens": 1}}


def test_scores_are_those_of_the_continuations_tokens(server: Scripted) -> None:
    server.routes[COMPLETIONS] = echo
    llm = EndpointLLM(server.url)
    scores = llm.score([prompt("The", " lamp"), prompt("The lamp is"), prompt("The")], [" is not", "", " lamp is lit"])
    assert scores == [LogLikelihood(-0.75, 2), LogLikelihood(0.0, 0), LogLikelihood(-3.75, 3)]
    assert llm.score([], []) == []
    shown = [body["prompt"] for body in server.sent(COMPLETIONS)]
    assert shown[0] == "a b c"  # the question whether it can
    assert sorted(shown[1:]) == ["The lamp is lit", "The lamp is not"]


def test_scores_of_token_ids_where_the_server_gives_them(server: Scripted) -> None:
    server.routes[COMPLETIONS] = echo
    server.routes["/tokenize"] = words
    [score] = EndpointLLM(server.url).score([prompt("an old", " lamp")], [" is lit"])
    assert server.sent(COMPLETIONS)[-1]["prompt"] == [0, 2, 3, 4, 2, 3]
    assert score == LogLikelihood(-0.125 * (4 + 5), 2)


@pytest.mark.parametrize("counts", [True, False])
def test_an_echo_that_leaves_out_tokens_is_refused(server: Scripted, counts: bool) -> None:
    server.routes[COMPLETIONS] = echo
    if counts:
        server.routes["/tokenize"] = words
    llm = EndpointLLM(server.url)
    llm.check_scores()

    def short(request: Request) -> object:
        made = json.loads(json.dumps(echo(request)))
        for values in made["choices"][0]["logprobs"].values():
            del values[: 1 if counts else 2]
        return made

    server.routes[COMPLETIONS] = short
    with pytest.raises(ModelError, match="it does not repeat the prompt"):
        llm.score([prompt("The")], [" lamp is"])


@pytest.mark.parametrize(
    "broken",
    [
        lambda _: Answer({"error": {"message": "Only no echo is supported"}}, 500),
        lambda _: Answer({"detail": "Not Found"}, 404),
        lambda _: completion("x", completion_tokens=1),
        lambda _: {
            "choices": [{"logprobs": {"tokens": [" lit"], "token_logprobs": [-1.0]}}],
            "usage": {"completion_tokens": 1},
        },
    ],
)
def test_a_server_that_cannot_score_says_so_before_anything_is_spent(server: Scripted, broken: object) -> None:
    server.routes[COMPLETIONS] = broken
    llm = EndpointLLM(server.url)
    for _ in range(2):
        with pytest.raises(ModelError, match="does not give the log-probabilities of a prompt") as caught:
            llm.score([prompt("x")], ["y"])
        assert "\n" not in str(caught.value)
    assert len(server.sent(COMPLETIONS)) == 1
    assert server.sent(CHAT) == []


def test_a_score_that_makes_no_sense_is_refused(server: Scripted) -> None:
    server.routes[COMPLETIONS] = echo
    llm = EndpointLLM(server.url)
    assert llm.score([prompt("The")], [" lamp"]) == [LogLikelihood(-1.5, 1)]
    with pytest.raises(ModelError, match="do not begin where the continuation 'mp is' begins"):
        llm.score([prompt("The la")], ["mp is"])
    for value in (None, "x", True, 0.5, -math.inf, math.nan):
        server.routes[COMPLETIONS] = lambda request, value=value: json.loads(
            json.dumps(echo(request)).replace("-1.5", json.dumps(value))
        )
        with pytest.raises(ModelError, match="a log-probability is no number"):
            llm.score([prompt("The")], [" lamp"])


# ----- a whole question -----

DOCUMENT = "The keeper is Ada.\n\nThe lamp is lit at dusk.\n\n" + "Nothing of note happens here. " * 20


def answering(request: Request) -> object:
    text = prompt_of(request)
    known = "keeper is Ada" in text
    return chat("Ada\nQuote: The keeper is Ada." if known else "NOT FOUND")


@pytest.mark.parametrize("strategy", ["stuff", "map_reduce", "map_rerank"])
def test_a_question_is_answered_by_every_strategy(server: Scripted, strategy: str, tmp_path: Path) -> None:
    server.routes[MODELS] = lambda _: {"data": [{"id": "fake", "max_model_len": 4096}]}
    server.routes[CHAT], server.routes[COMPLETIONS], server.routes["/tokenize"] = answering, echo, words
    (tmp_path / "log.txt").write_text(DOCUMENT)
    llm = EndpointLLM(server.url)
    answer = ctxproc.ask(
        "Who is the keeper?",
        tmp_path / "log.txt",
        llm=llm,
        strategy=strategy,
        chunk={"tokens": 30},
        retrieval={"search": ["bm25"]},
        answer={"min_confidence": 0},
    )
    assert answer.text == "Ada"
    assert [item.quote for item in answer.evidence][:1] == ["The keeper is Ada."]
    assert answer.model == f"{server.url}#fake"


def test_settings_are_the_arguments() -> None:
    import inspect

    names = set(inspect.signature(EndpointLLM).parameters) - {"address", "context_window"}
    assert set(Settings().endpoint.model_dump()) == names
    defaults = {name: inspect.signature(EndpointLLM).parameters[name].default for name in names}
    assert Settings().endpoint.model_dump() == defaults
