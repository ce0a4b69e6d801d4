"""Text files that a user hands over: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctxproc.errors import ConfigError, UsageError
from ctxproc.textfile import read_text


def test_a_text_is_read_as_it_stands_without_the_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\n\xe4\xba\x8c\n")
    assert read_text(tmp_path / "a", "list", 12) == "one\r\n二\n"


@pytest.mark.parametrize("content", [b"abcde", "abc二".encode()])
def test_a_text_above_the_limit_is_refused_for_its_size_even_where_a_character_is_cut(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read the list .*a: it has more than 4 bytes$"):
        read_text(tmp_path / "a", "list", 4)
    assert read_text(tmp_path / "a", "list", len(content)).encode() == content


def test_what_cannot_be_read_is_an_error_of_the_kind_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    for path, said in (
        (tmp_path / "a", "it is not UTF-8 text"),
        (tmp_path / "b", "No such file"),
        (tmp_path, "irectory"),
    ):
        with pytest.raises(ConfigError, match=f"cannot read the list .*{said}"):
            read_text(path, "list", 4, ConfigError)
