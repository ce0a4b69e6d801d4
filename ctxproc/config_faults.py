"""What is wrong with a setting, in one line that says what may stand there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import yaml

Error = Mapping[str, Any]
"""One error of pydantic: its ``type``, ``input``, ``ctx``, and ``loc``, the keys to the value."""

FORMS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "dict": "a mapping, {key: value},",
}
"""By the beginning of an error's type, such as "int" of "int_parsing"."""

BOUNDS = {
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
}


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is none: the nearest keys, or those of its section, or where all are shown."""
    known = sorted(known)
    near = nearest(key, known)
    section = key.rpartition(".")[0]
    others = [one for one in known if section and one.startswith(f"{section}.")]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif others:
        hint = f"there are: {', '.join(others)}"
    else:
        hint = "`ctxproc config show` lists all"
    return f"there is no setting {key}; {hint}"


def nearest(key: str, known: Iterable[str]) -> list[str]:
    """Known keys, or a section, that the key may stand for: it but for case and hyphens, its last word, or almost it."""
    keys = list(known)
    meant = key.lower().replace("-", "_")
    if meant in keys:
        return [meant]
    sections = sorted({one.rpartition(".")[0] for one in keys} - {""})
    same = [one for one in keys if one.rpartition(".")[2] == meant.rpartition(".")[2]]
    return same or get_close_matches(meant, [*keys, *sections], n=1, cutoff=0.8)


def wrong(key: str, error: Error, known: Iterable[str], may_be_null: bool) -> str:
    """What to say of a value that does not fit.

    Args:
        key: the setting, or the section that got a single value.
        error: the first that pydantic found.
        known: every setting's name.
        may_be_null: whether the setting takes null.
    """
    kind, value = str(error["type"]), error["input"]
    told = "null" if value is None else repr(str(value)[:60])
    if kind == "model_type":
        inside = ", ".join(one for one in known if one.startswith(f"{key}."))
        return f"{key} is a section, not {told}: set one of {inside}"
    null = " or null" if may_be_null else ""
    return f"{key}: {wanted(kind, error)}{null} is wanted, not {told}"


def wanted(kind: str, error: Error) -> str:
    """What a value has to be."""
    context, path = error.get("ctx", {}), error["loc"]
    if kind == "list_type":
        return f"a list, such as {yaml.safe_dump([error['input']], default_flow_style=True, width=999).strip()},"
    if kind == "literal_error":
        return str(context["expected"])
    if kind in BOUNDS:
        return BOUNDS[kind].format(**context)
    if path[-1] == "str":  # one branch of "a text or a mapping"
        return "a name, or {name: {parameter: value}},"
    return FORMS.get(kind.partition("_")[0], str(error["msg"]).lower())
