from __future__ import annotations

import re
from pathlib import Path

import pytest

from licet.cli.target import load_agent_os
from licet.errors import ConfigurationError
from tests.cli.programs import APP, guarded, write

BROKEN = "import surely_not_installed\n"
FASTAPI_ONLY = "from fastapi import FastAPI\n\napp = FastAPI()\n"


@pytest.mark.parametrize(
    "target",
    [
        "small:app",
        "small:agent_os",
        "small:holder.agent_os",
        "small",
        "small.py",
        "small.py:agent_os",
        "./small.py:app",
    ],
)
def test_an_agent_os_is_found_by_module_file_and_attribute(folder: Path, target: str) -> None:
    holder = "class holder:\n    agent_os = agent_os\n"
    write(folder, "small.py", guarded() + APP + holder)
    assert load_agent_os(target).id == "small-os"


def test_without_an_app_the_agent_os_is_tried(folder: Path) -> None:
    write(folder, "small.py", guarded())
    assert load_agent_os("small").id == "small-os"


def test_an_app_that_is_something_else_does_not_hide_the_agent_os(folder: Path) -> None:
    write(folder, "small.py", guarded() + "app = 'my application'\n")
    assert load_agent_os("small").id == "small-os"


def test_a_file_in_a_package_is_imported_as_part_of_it(folder: Path) -> None:
    write(folder, "src/company/__init__.py", "")
    write(folder, "src/company/name.py", "ID = 'small-os'\n")
    write(folder, "src/company/small.py", "from .name import ID\nassert ID\n" + guarded())
    assert load_agent_os("src/company/small.py").id == "small-os"


def test_a_file_elsewhere_finds_the_modules_beside_it(folder: Path) -> None:
    write(folder, "elsewhere/beside.py", "")
    write(folder, "elsewhere/small.py", "import beside\n" + guarded())
    assert load_agent_os(str(folder / "elsewhere" / "small.py")).id == "small-os"


def test_a_file_as_a_cluster_mounts_it_is_found_behind_its_links(folder: Path) -> None:
    write(folder, "..2026_11_29/small.py", guarded())
    (folder / "..data").symlink_to("..2026_11_29")
    (folder / "small.py").symlink_to("..data/small.py")
    assert load_agent_os("small.py:agent_os").id == "small-os"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing:app", "there is no module 'nothing'"),
        ("nothing.at.all:app", "there is no module 'nothing'"),
        ("small.inner:app", "there is no module 'small.inner'"),
        ("nothing.py", "there is no file 'nothing.py'"),
        ("small:other", "small has no attribute 'other'"),
        ("small:app.other", "small has no attribute 'app.other'"),
        ("empty", "empty has no attribute 'app' or 'agent_os'"),
        ("small:number", "small:number is neither an AgentOS nor the app of one (int)"),
        ("fastapi_only:app", "nothing would guard it"),
        ("my-program", "neither the name of a module nor a .py file"),
        ("", "neither the name of a module nor a .py file"),
        (":app", "neither the name of a module nor a .py file"),
        ("json.py", "another module is called 'json'"),
        ("a.b.py", "its name has a dot in it"),
    ],
)
def test_what_cannot_be_found_is_named(folder: Path, target: str, message: str) -> None:
    write(folder, "small.py", guarded() + APP + "number = 1\n")
    write(folder, "fastapi_only.py", FASTAPI_ONLY)
    for name in ("empty.py", "json.py", "a.b.py"):
        write(folder, name, "")
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        load_agent_os(target)
    assert "\n" not in str(caught.value)


def test_what_the_program_itself_misses_is_the_programs_error(folder: Path) -> None:
    write(folder, "broken.py", BROKEN)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        load_agent_os("broken:app")
