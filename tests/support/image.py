"""An image definition, built into a plain folder: no container engine, and no root.

The steps are really run. What they call /opt or /app is a folder of the same name below a root, and
that root is at one place for all stages: programs that know where they were installed find
themselves there, as in an image.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_NOTED = ("EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, in capitals, and what stands behind it."""

    name: str
    text: str


def instructions(dockerfile: Path) -> Iterator[Instruction]:
    """The instructions of an image definition, in their order, each on one line."""
    lines = (line for line in dockerfile.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    for line in joined.splitlines():
        if line.strip():
            name, _, text = line.partition(" ")
            yield Instruction(name.upper(), text.strip())


def build_context(root: Path, folder: Path) -> Path:
    """What ``.dockerignore`` lets through: everything is shut out but what a ``!`` names."""
    lines = (root / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    for name in (rule[1:] for rule in rules if rule.startswith("!")):
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


@dataclass
class Stage:
    """One stage: where its files are, and what is set in it."""

    root: Path
    env: dict[str, str]
    cwd: str = "/"
    said: dict[str, str] = field(default_factory=dict)

    def path(self, text: str) -> Path:
        """Where a path of the stage is."""
        return self.root / self.absolute(text).lstrip("/")

    def absolute(self, text: str) -> str:
        """A path of the stage that may be relative to its working folder."""
        return text if text.startswith("/") else f"{self.cwd.rstrip('/')}/{text.removeprefix('./')}"

    def words(self, name: str) -> list[str]:
        """What was said in the form of a JSON list: ENTRYPOINT and CMD."""
        return [str(word) for word in json.loads(self.said[name])]

    @property
    def command(self) -> list[str]:
        """What a container of it runs."""
        return self.words("ENTRYPOINT") + self.words("CMD")

    @property
    def check(self) -> list[str]:
        """What says whether it is healthy."""
        return [str(word) for word in json.loads(self.said["HEALTHCHECK"].partition("CMD ")[2])]


class PlainBuild:
    """Follows an image definition.

    Args:
        dockerfile: the definition.
        context: the folder that it copies from.
        folder: where all is built; the last stage is in ``root`` below it.
        python: that of the base image.
        outside: the environment of the machine that the steps need: the way to a package index.
    """

    def __init__(
        self,
        dockerfile: Path,
        *,
        context: Path,
        folder: Path,
        python: Path,
        outside: Mapping[str, str],
    ) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._root = folder / "root"
        self._kept = folder / "stages"
        self._bin = folder / "bin"
        self._python = python
        self._outside = dict(outside)
        self._names: list[str] = []
        self._stage: Stage | None = None
        # What paths begin with that the definition means: the rest is the machine's own.
        self._own = sorted({p.split("/")[1] for p in self._own_paths()})

    def build(self) -> Stage:
        """Follow all steps. Answers the last stage."""
        self._bin.mkdir(parents=True)
        # A link would take its own folder for that of the environments that it makes.
        python = self._bin / "python"
        python.write_text(f'#!/bin/sh\nexec {self._python} "$@"\n')
        python.chmod(0o755)
        for instruction in instructions(self._dockerfile):
            self._follow(instruction)
        return self._current()

    def mapped(self, text: str) -> str:
        """A command or a value, in which the definition's own paths are those of the folder."""
        own = "|".join(map(re.escape, self._own))
        return re.sub(rf"(?<![\w.}}/])/(?=(?:{own})\b)", f"{self._root}/", text)

    def _own_paths(self) -> Iterator[str]:
        for instruction in instructions(self._dockerfile):
            if instruction.name in {"COPY", "WORKDIR"}:
                yield from (word for word in instruction.text.split() if word.startswith("/"))

    def _follow(self, instruction: Instruction) -> None:
        name, text = instruction.name, instruction.text
        match name:
            case "ARG":
                assert self._stage is None, "arguments of stages are not followed here"
            case "FROM":
                self._begin(text)
            case "ENV":
                self._set(text)
            case "WORKDIR":
                self._current().cwd = text
                self._current().path(text).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(text.split())
            case "RUN":
                self._run(text)
            case "ENTRYPOINT" | "CMD":
                self._current().said[name] = text
            case _ if name in _NOTED:
                self._current().said[name] = text
            case _:
                raise AssertionError(f"nobody follows {name} here")

    def _begin(self, text: str) -> None:
        if self._root.exists():
            self._kept.mkdir(exist_ok=True)
            self._root.rename(self._kept / self._names[-1])
        self._names.append(text.partition(" AS ")[2] or str(len(self._names)))
        self._root.mkdir()
        path = f"{self._bin}:/usr/bin:/bin"
        self._stage = Stage(self._root, {"PATH": path})

    def _set(self, text: str) -> None:
        stage = self._current()
        for pair in text.split():
            name, equals, value = pair.partition("=")
            assert equals, f"ENV {pair}: NAME=VALUE is expected"
            stage.env[name] = _VARIABLE.sub(
                lambda found: stage.env[found[1] or found[2]], self.mapped(value)
            )

    def _copy(self, words: Sequence[str]) -> None:
        stage = self._current()
        source_root = self._context
        if words[0].startswith("--from="):
            source_root = self._kept / words[0].removeprefix("--from=")
            words = words[1:]
        *sources, last = words
        target = stage.path(last)
        for source in sources:
            found = source_root / source.lstrip("/")
            into = target / found.name if last.endswith("/") else target
            into.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(found, into)

    def _run(self, text: str) -> None:
        stage = self._current()
        done = subprocess.run(
            ["/bin/sh", "-c", self.mapped(text)],
            cwd=stage.path(stage.cwd),
            env={**self._outside, **stage.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {text}\n{done.stdout}\n{done.stderr}"

    def _current(self) -> Stage:
        assert self._stage is not None, "it begins with FROM"
        return self._stage
