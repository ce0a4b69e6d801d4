"""Words from a trace: each is used once, in the order in which they were said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from ctxproc import Generation, Prompt, Sampling, ScriptedLLM
from ctxproc.errors import ReplayError
from ctxproc.llm.base import finished
from ctxproc.llm.meter import segments
from ctxproc.llm.recorded import INTERRUPTED, recorded
from ctxproc.prompt import Segment
from ctxproc.trace import Called, Scored


def asking(text: str) -> Prompt:
    return Prompt((Segment(text, "task"),), "step")


def called(text: str, reply: str, **values: object) -> Mapping[str, Any]:
    event = Called("step", segments(asking(text)), reply, 1, 1, 0)
    return {"event": "Called", **asdict(replace(event, **values))}  # type: ignore[arg-type]


class Drawing(ScriptedLLM):
    """Replies with the number of its prompt's random stream."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        self.prompts.extend(prompts)
        return [Generation(str(sampling.stream + i), 1, 1) for i in range(len(prompts))]


def texts(generations: Sequence[Generation]) -> list[str]:
    return [made.text for made in generations]


def test_equal_prompts_get_their_replies_in_the_order_in_which_they_were_made() -> None:
    llm = recorded(ScriptedLLM(), [called("a", "first"), called("b", "other"), called("a", "second")], live=False)
    assert texts(llm.generate([asking("a")], Sampling())) == ["first"]
    assert finished(llm.stream(asking("a"), Sampling())).text == "second"
    with pytest.raises(ReplayError, match="does not hold"):
        llm.generate([asking("a")], Sampling())
    assert texts(llm.generate([asking("b")], Sampling())) == ["other"]


def test_an_interrupted_reply_is_asked_for_again() -> None:
    model = ScriptedLLM(["the whole reply"])
    llm = recorded(model, [called("a", "the wh", finish=INTERRUPTED, way="stream")], live=True)
    assert finished(llm.stream(asking("a"), Sampling())).text == "the whole reply"
    assert model.prompts == [asking("a")]


def test_what_was_not_recorded_is_drawn_as_if_all_had_been_asked_together() -> None:
    model = Drawing()
    llm = recorded(model, [called("b", "kept")], live=True)
    prompts = [asking(text) for text in "abc"]
    assert texts(llm.generate(prompts, Sampling(stream=5))) == ["5", "kept", "7"]
    assert texts(llm.generate(prompts, Sampling(stream=5))) == ["5", "6", "7"]


def test_scores_are_kept_by_prompt_and_continuation() -> None:
    event = {"event": "Scored", **asdict(Scored("step", segments(asking("a")), "yes", -0.5, 1))}
    llm = recorded(ScriptedLLM(likelihood=lambda _, words: -9.0), [event], live=True)
    scores = llm.score([asking("a")] * 3, ["no", "yes", "yes"])
    assert [score.total for score in scores] == [-9.0, -0.5, -9.0]
