"""Things chosen by name in a configuration: found by looking into a folder, made from a spec.

A spec is a name, ``map_rerank``, or a name with parameters, ``{bm25: {k1: 1.2}}``. A name may also be that of an entry
point that an installed package offers, or the path of a class, ``package.module:Class``: a module that is not ours is
imported only when the configuration names it so.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from ctxproc.errors import ConfigError, UnknownNameError

T = TypeVar("T")
Spec = str | Mapping[str, Mapping[str, object]]

_IMPORTING = (ImportError, SyntaxError, AttributeError, NameError, TypeError, ValueError, OSError, RuntimeError)
"""What a module that is not ours, or a path that is none, raises on being imported."""


class Catalogue(Generic[T]):
    """The dataclasses of one package that extend ``base`` and have a ``name``, one module each.

    A module ``NAME.py`` of the package holds the class whose ``name`` is ``NAME``; ``base`` and modules that begin with
    an underscore are left out. Modules are imported when they are asked for.

    Args:
        kind: what a reader calls one of them.
        package: where the modules are.
        base: what the classes extend.
        group: the group of entry points by which other packages offer theirs.
    """

    def __init__(self, kind: str, package: str, base: type[T], group: str) -> None:
        self.kind = kind
        self.package = package
        self.base = base
        self.group = group

    def names(self) -> list[str]:
        """The names, sorted: those of the package and of entry points."""
        return sorted({*self._own(), *self._offered()})

    def _own(self) -> list[str]:
        path = importlib.import_module(self.package).__path__
        found = (module.name for module in pkgutil.iter_modules(path) if not module.ispkg)
        return [name for name in found if name != "base" and not name.startswith("_")]

    def _offered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def get(self, name: str) -> type[T]:
        """The class of that name. Ours come before entry points of the same name.

        Raises:
            UnknownNameError: there is none; lists the known names.
            ConfigError: a class that is not ours cannot be imported, or is no class of this kind.
        """
        if name not in self._own():
            return self._foreign(name)
        module = importlib.import_module(f"{self.package}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, self.base) and getattr(value, "name", None) == name:
                return value
        raise UnknownNameError(self.kind, name, self.names())

    def _foreign(self, name: str) -> type[T]:
        """The class at a path, ``package.module:Class`` or ``package.module.Class``, or behind an entry point."""
        path = name
        if "." not in name and ":" not in name:
            offered = self._offered()
            if name not in offered:
                raise UnknownNameError(self.kind, name, self.names())
            path = offered[name].value
        module, _, attribute = path.replace(":", ".").rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except _IMPORTING as error:
            reason = (str(error).splitlines() or [""])[0]
            raise ConfigError(f"{self.kind} {name} cannot be imported: {type(error).__name__}: {reason}") from error
        if not (isinstance(found, type) and issubclass(found, self.base) and isinstance(_name(found), str)):
            raise ConfigError(f"{self.kind} {name} must be a {self.base.__name__} with a name, and is {found!r}")
        return found

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


def _name(found: type[object]) -> object:
    return getattr(found, "name", None)
