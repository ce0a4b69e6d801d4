"""What is installed here, which device a model would get, and what is missing: read from files, without importing torch.

Versions are those of packages' metadata; that a package is there does not prove that it can be imported. The device is
told from how torch was built and from what the system shows of a GPU; `ctxproc doctor --deep` asks torch itself.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sqlite3
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from ctxproc.errors import ModelError
from ctxproc.llm.threads import choose_threads
from ctxproc.llm.trunk import PACKAGE as TRUNK
from ctxproc.llm.trunk import trunk_folder

PYTHON = (3, 11)
FAISS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12")
WEIGHTS = Path(__file__).parent / "llm" / "weights"
LOW_DISK = 1_000_000_000
"""Bytes of free disk below which caches are short of room."""

VARIABLES = ("HF_HUB_OFFLINE", "HF_HOME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME")
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?")
EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
ELSEWHERE = re.compile(r"(?:platform_system|sys_platform)\s*==\s*['\"]([^'\"]+)['\"]")
BUILT_FOR = re.compile(r"^(cuda|hip)\b[^=]*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)

State = Literal["ready", "missing", "old"]


class Package(NamedTuple):
    """A package that ctxproc names in its metadata; ``extra`` is "" for those that it always needs."""

    name: str
    version: str
    wanted: str
    extra: str
    state: State


class Device(NamedTuple):
    """Where a model would run: "cuda", "mps" or "cpu"; ``why`` in words, and what would have to be done for a GPU."""

    name: str
    why: str
    advice: str = ""


class Folder(NamedTuple):
    """The cache folder; ``shared`` are folders in it that other users of the machine may look into."""

    path: str
    exists: bool
    writable: bool
    shared: tuple[str, ...]
    bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Installation:
    """What was found.

    Attributes:
        models: of the built-in models, by name: "ready", or what to do.
        faiss: the installed kind of faiss and its version, "" for none: searches are then by brute force.
        variables: of the environment, those that change what is done; of a server's key only whether it is set.
        todo: what keeps ``ctxproc ask`` from running as it comes, a line each; none: it is ready.
        notes: what is not needed for that, and may be wished for.
    """

    ctxproc: str
    python: str
    system: str
    sqlite: str
    packages: tuple[Package, ...]
    device: Device
    threads: str
    models: Mapping[str, str]
    faiss: str
    cache: Folder
    variables: Mapping[str, str]
    todo: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attention: str = field(default="", kw_only=True)

    @property
    def ready(self) -> bool:
        """Whether the default use can be had."""
        return not self.todo

    def to_json(self) -> dict[str, object]:
        """As one JSON object."""
        return {"ready": self.ready, **asdict(self), "packages": [one._asdict() for one in self.packages]} | {
            "device": self.device._asdict(),
            "cache": self.cache._asdict(),
        }


def examine(cache: Path, key_variable: str = "OPENAI_API_KEY") -> Installation:
    """Look at this installation; changes nothing and loads no model.

    Args:
        cache: the cache folder, which need not be there yet.
        key_variable: environment variable with the key of a model server.
    """
    packages = required()
    models = built_in()
    folder = folder_of(cache)
    device = likely_device()
    faiss = next((f"{name} {version}" for name in FAISS if (version := version_of(name))), "")
    shown = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return Installation(
        ctxproc=version_of("ctxproc") or "not installed: run from its folder",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        sqlite=sqlite3.sqlite_version,
        packages=packages,
        device=device,
        threads="{0.number} ({0.reason})".format(choose_threads()),
        models=models,
        faiss=faiss,
        cache=folder,
        variables=shown | ({key_variable: "set"} if os.environ.get(key_variable) else {}),
        todo=tuple(needed(packages, models, folder)),
        notes=tuple(wished(packages, faiss, device, folder)),
    )


def version_of(name: str) -> str:
    """The installed version of a package, "" for none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def required() -> tuple[Package, ...]:
    """The packages that ctxproc's metadata names for this system, development tools left out."""
    try:
        lines = metadata.requires("ctxproc") or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = match[1] if (match := EXTRA.search(marker)) else ""
        system = match[1] if (match := ELSEWHERE.search(marker)) else platform.system()
        if (match := REQUIREMENT.match(requirement)) and extra != "dev" and system == platform.system():
            name, wanted = match[1], match[2] or ""
            version = version_of(name)
            state: State = "missing" if not version else "old" if number(version) < number(wanted) else "ready"
            found.append(Package(name, version, wanted, extra, state))
    return tuple(found)


def number(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, so that versions compare; pre-releases count as the release."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in match[0].split(".")] if match else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def built_in() -> dict[str, str]:
    """The models that need no download: the embedding model that all of them stand on, and each file of weights."""
    try:
        folder = trunk_folder()
        trunk = "ready" if any(folder.glob("*.safetensors")) else f"no weights in {folder}: install {TRUNK} again"
    except ModelError as error:
        trunk = str(error)
    found = {"embedder": trunk}
    for file in sorted(WEIGHTS.rglob("*.safetensors")):
        name = file.stem if file.parent == WEIGHTS else file.parent.name
        found[name] = "ready" if file.stat().st_size else f"{file} is empty: install ctxproc again"
    return found


def likely_device() -> Device:
    """What "auto" will choose, by torch's build and the devices that the system shows."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return Device("cpu", "torch is not installed")
    file = Path(spec.origin).with_name("version.py")
    built = {kind: version for kind, version in BUILT_FOR.findall(file.read_text("utf-8") if file.exists() else "")}
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    gpu = bool(list(Path("/dev").glob("nvidia[0-9]*"))) or Path("/dev/dxg").exists() or bool(shutil.which("nvidia-smi"))
    if gpu and built and not hidden:
        kind, version = next(iter(built.items()))
        return Device("cuda", f"a GPU is there, and torch is built for {kind} {version}")
    if gpu and not built:
        advice = (
            "torch is built for CPUs and a GPU is there: install torch for CUDA, see https://pytorch.org/get-started"
        )
        return Device("cpu", "torch is built for CPUs", advice)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Device("mps", "a Mac with its own GPU")
    return Device("cpu", "CUDA_VISIBLE_DEVICES hides the GPUs" if gpu and hidden else "no GPU is seen")


def folder_of(path: Path) -> Folder:
    """What a folder holds and whether it can be written to, or made where it is not there."""
    exists = path.is_dir()
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    size, shared = 0, []
    for place, _, names in os.walk(path):
        if Path(place).parent == path and stat.S_IMODE(os.lstat(place).st_mode) & 0o077:
            shared.append(place)
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # removed in between
    return Folder(str(path), exists, writable, tuple(sorted(shared)), size, shutil.disk_usage(nearest).free)


def needed(packages: tuple[Package, ...], models: Mapping[str, str], cache: Folder) -> list[str]:
    """What has to be done before ``ctxproc ask`` runs as it comes."""
    lines = []
    if sys.version_info[:2] < PYTHON:
        lines.append(f"Python {'.'.join(map(str, PYTHON))} or later is needed")
    for one in packages:
        if not one.extra and one.state != "ready":
            lines.append(f"{one.name} is {one.state}: pip install '{one.name}>={one.wanted}'")
    lines += [f"model {name}: {state}" for name, state in models.items() if state != "ready"]
    if "reader" not in models:
        lines.append(f"the built-in reader is not in {WEIGHTS}: install ctxproc again")
    if not cache.writable:
        lines.append(
            f"the cache folder {cache.path} cannot be written to: set XDG_CACHE_HOME or cache.folder to another"
        )
    return lines


def wished(packages: tuple[Package, ...], faiss: str, device: Device, cache: Folder) -> list[str]:
    """What is not needed for the default use."""
    lines = [device.advice] if device.advice else []
    if not faiss:
        lines.append("faiss is missing: large memories are searched by brute force; pip install 'ctxproc[cpu]'")
    elif device.name == "cuda" and faiss.startswith("faiss-cpu"):
        lines.append("faiss is that for CPUs: searches on the GPU need pip install 'ctxproc[gpu]' instead of faiss-cpu")
    for extra in ("gguf", "quant", "triton"):
        lacking = [one.name for one in packages if one.extra == extra and one.state != "ready"]
        if lacking:
            lines.append(f"{USES[extra]} need {', '.join(lacking)}: pip install 'ctxproc[{extra}]'")
    if cache.shared:
        lines.append(f"others may look into what is kept: chmod 700 {' '.join(map(shlex.quote, cache.shared))}")
    if cache.free_bytes < LOW_DISK:
        lines.append(f"only {cache.free_bytes / 1e6:,.0f} MB of disk are free: `ctxproc cache clear` empties the cache")
    return lines


USES = {
    "gguf": "GGUF files",
    "quant": "quantised weights",
    "triton": "the kernel for several cached blocks on a GPU",
}
