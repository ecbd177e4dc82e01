"""Every command and program in the documents does what the document says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.snippets import KINDS, PICTURES, Step, steps
from tests.support.lock import alone
from tests.support.openai import scripted_openai
from tests.support.process import running

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
RUN = [document for document in DOCUMENTS if any(s.kind == "run" for s in steps(document))]
SCRIPT = {
    "rules": [
        {
            "match": "order 7",
            "answers": [
                {"tool_calls": [{"name": "order_status", "arguments": {"order_id": 7}}]},
                {"text": "Order 7 is on its way."},
            ],
        },
        {
            "match": "money back",
            "answers": [
                {
                    "tool_calls": [
                        {"name": "refund", "arguments": {"order_id": 7, "amount": 30}},
                    ]
                },
                {"text": "The money is on its way."},
            ],
        },
        {
            "match": "cancel order",
            "answers": [
                {"tool_calls": [{"name": "cancel_order", "arguments": {"order_id": 9}}]},
                {"text": "Order 9 is cancelled."},
            ],
        },
        {
            "match": "count to a thousand",
            "answers": [{"text": "one, two, " * 500, "pause_seconds": 0.1}],
        },
        {
            "match": "name a city",
            "answers": [{"text": '{"name": "Rome", "people": 2800000}'}],
        },
    ],
    "otherwise": {"text": "A key opens what is locked."},
}


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_there_are_documents_to_check() -> None:
    assert {name(d) for d in RUN} >= {
        "README.md",
        "docs/getting-started.md",
        "docs/moving-from-agentos.md",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_block_says_what_it_is(document: Path) -> None:
    for step in steps(document):
        said = step.kind in KINDS or (step.kind == "" and step.language in PICTURES)
        assert said, f"{name(document)}:{step.line}: a block that nothing runs"
        assert step.kind != "not run" or len(step.what) > 10, "say why"


@pytest.fixture
def model_url() -> Iterator[str]:
    with scripted_openai(SCRIPT) as url:
        yield url


@pytest.mark.parametrize("document", RUN, ids=name)
def test_the_steps_of_the_document_work(document: Path, tmp_path: Path, model_url: str) -> None:
    scripts = Path(sys.executable).parent
    env = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "OPENAI_API_KEY": "sk-scripted",
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "LICET_DEMO_FOLDER": str(tmp_path / "demo"),
    }
    if any("make " in step.text for step in steps(document)):
        link_project(tmp_path)
    elif any("examples/" in step.text for step in steps(document)):
        (tmp_path / "examples").symlink_to(ROOT / "examples")
    with alone("port-7777"), ExitStack() as background:
        printed = ""
        for step in steps(document):
            printed = follow(step, tmp_path, env, background, printed)


def link_project(folder: Path) -> None:
    """What ``make demo`` needs, with this environment in the place of the one it would install."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    environment = folder / ".venv-demo"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (environment / "bin" / "python").chmod(0o755)
    (environment / ".installed").touch()


def follow(
    step: Step, folder: Path, env: dict[str, str], background: ExitStack, printed: str
) -> str:
    """Take one step; answer what the last command has printed."""
    if step.kind == "file":
        (folder / step.what).write_text(step.text)
    elif step.kind == "background":
        background.close()
        process = background.enter_context(
            running(["bash", "-euc", step.text], cwd=folder, env=env)
        )
        process.wait_until_serving(step.what)
    elif step.kind == "run":
        done = subprocess.run(
            ["bash", "-euc", step.text],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"line {step.line}: {done.stdout}\n{done.stderr}"
        return done.stdout
    elif step.kind == "output":
        assert step.text.strip() in printed, f"line {step.line}: it printed\n{printed}"
    return printed
