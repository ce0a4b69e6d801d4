"""Things chosen by name in a configuration: found by looking into a folder, made from a spec.

A spec is a name, ``map_rerank``, or a name with parameters, ``{bm25: {k1: 1.2}}``.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from ctxproc.errors import ConfigError, UnknownNameError

T = TypeVar("T")
Spec = str | Mapping[str, Mapping[str, object]]


class Catalogue(Generic[T]):
    """The dataclasses of one package that extend ``base`` and have a ``name``, one module each.

    A module ``NAME.py`` of the package holds the class whose ``name`` is ``NAME``; ``base`` and modules that begin with
    an underscore are left out. Modules are imported when they are asked for.
    """

    def __init__(self, kind: str, package: str, base: type[T]) -> None:
        self.kind = kind
        self.package = package
        self.base = base

    def names(self) -> list[str]:
        """The names, sorted."""
        path = importlib.import_module(self.package).__path__
        found = (module.name for module in pkgutil.iter_modules(path) if not module.ispkg)
        return sorted(name for name in found if name != "base" and not name.startswith("_"))

    def get(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            UnknownNameError: there is none; lists the known names.
        """
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, self.base) and getattr(value, "name", None) == name:
                return value
        raise UnknownNameError(self.kind, name, self.names())

    def make(self, spec: Spec) -> T:
        """The thing that a spec describes, with its defaults where the spec names no parameter.

        Raises:
            UnknownNameError: there is none of that name.
            ConfigError: the spec has another form, or a parameter is unknown or has a wrong value.
        """
        name, parameters = split(self.kind, spec)
        made = self.get(name)
        known = {item.name for item in dataclasses.fields(made)}  # type: ignore[arg-type]
        for parameter in parameters:
            if parameter not in known:
                names = ", ".join(sorted(known)) or "none"
                raise ConfigError(f"{self.kind} {name} has no parameter {parameter!r}; it has: {names}")
        try:
            return made(**parameters)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.kind} {name}: {error}") from error


def split(kind: str, spec: Spec) -> tuple[str, Mapping[str, Any]]:
    """Name and parameters of a spec.

    Raises:
        ConfigError: it is neither a name nor a name with parameters.
    """
    if isinstance(spec, str):
        return spec, {}
    if len(spec) == 1:
        [(name, parameters)] = spec.items()
        if isinstance(name, str) and isinstance(parameters or {}, Mapping):
            return name, parameters or {}
    raise ConfigError(f"a {kind} is a name or {{name: {{parameter: value}}}}, not {spec!r}")
