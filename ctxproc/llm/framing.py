"""A prompt as the tokens of one model: begin-of-text, chat markers, and each piece tokenised on its own."""

from __future__ import annotations

from dataclasses import dataclass

from ctxproc.llm.engine import Chain, Tokens
from ctxproc.llm.tokenizer import HfTokenizer, chat_frame
from ctxproc.prompt import Prompt


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A prompt's tokens, cut where keys and values may be reused.

    Attributes:
        prefix: begin-of-text, the chat template's head and the prompt's shared prefix; may be empty.
        contexts: the context values in order.
        joints: what stands before each of them, after the one before; the first is empty.
        tail: everything behind, with the chat template's; at least one token.
    """

    prefix: Tokens
    contexts: tuple[Tokens, ...]
    joints: tuple[Tokens, ...]
    tail: Tokens

    @property
    def chain(self) -> Chain:
        """Prefix and contexts as segments that follow each other."""
        joined = tuple(joint + context for joint, context in zip(self.joints, self.contexts, strict=True))
        return ((self.prefix, *joined) if self.prefix else joined) if joined else (self.prefix,) * bool(self.prefix)

    @property
    def side_by_side(self) -> tuple[Chain, ...]:
        """Each context as if it were the only one; what joined them is left out."""
        shared = (self.prefix,) if self.prefix else ()
        return tuple((*shared, context) for context in self.contexts) or (self.chain,)

    @property
    def ids(self) -> list[int]:
        """All tokens in order."""
        return [token for segment in (*self.chain, self.tail) for token in segment]


class Framing:
    """How a model's prompts begin and end.

    Attributes:
        chats: whether the tokenizer has a chat template that can carry one message.
        wrapping: tokens around a prompt's pieces, with one more where the first word may cost one for its leading space.
    """

    def __init__(self, tokenizer: HfTokenizer, end: int) -> None:
        self._tokenizer = tokenizer
        self._end = end
        begin = tuple(tokenizer.bos)
        frame = chat_frame(tokenizer.inner)
        self.chats = frame is not None
        self._head: Tokens = begin
        self._tail: Tokens = ()
        if frame is not None:
            head = tuple(tokenizer.inner.encode(frame[0], add_special_tokens=False)) if frame[0] else ()
            self._head = head if head[: len(begin)] == begin else begin + head
            self._tail = tuple(tokenizer.encode_trusted(frame[1]))
        self.wrapping = len(self._head) + len(self._tail) + int(tokenizer.adds_prefix and not self.chats)

    def tokens(self, prompt: Prompt) -> TokenPrompt:
        """What the model reads. An empty prompt of a model without begin-of-text is one end-of-text token."""
        prefix, tail, joint = self._head, Tokens(), Tokens()
        contexts: list[Tokens] = []
        joints: list[Tokens] = []
        begins = not self.chats
        for segment in prompt.segments:
            if not segment.text:
                continue
            encode = self._tokenizer.encode_first if begins else self._tokenizer.encode
            ids = tuple(encode(segment.text))
            if not ids:
                continue
            begins = False
            if segment.role == "prefix":
                prefix += ids
            elif segment.role == "task":
                tail += ids
            elif segment.field is None and contexts:
                joint += ids
            elif segment.field is None:
                prefix += ids
            else:
                contexts.append(ids)
                joints.append(joint)
                joint = ()
        tail = joint + tail + self._tail
        if not tail and contexts:
            *kept, last = contexts
            return TokenPrompt(prefix, tuple(kept), tuple(joints[:-1]), joints[-1] + last)
        if not tail:
            return TokenPrompt((), (), (), prefix or (self._end,))
        return TokenPrompt(prefix, tuple(contexts), tuple(joints), tail)
