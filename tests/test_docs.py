"""What README and docs/ name is there: links, anchors, files, modules, commands, profiles."""

import argparse
import re
import shlex

import pytest

import run_all
from cxrlib.params import load_params, profile_names
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.workflow.command import add_arguments

README = PROJECT_ROOT / "README.md"
PAGES = [README, PROJECT_ROOT / "outputs" / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]


def named(path):
    return path.relative_to(PROJECT_ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


def anchors(text):
    """The anchor that GitHub gives each heading of a page."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page):
    """Relative links of a page that lead to no file, or to no heading in it."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            dead.append(link)
    return dead


def commands(page, program):
    """Arguments of every use of a program in the code blocks of a page, lines that go on joined."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(program, 1)[1], comments=True) for line in lines if program in line]


@every_page
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_dead_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[a](page.md#a-heading-here) [b](#gone) [c](none.md) [d](https://e.org) ![p](p.png)"
    )
    assert dead_links(page) == ["#gone", "none.md", "p.png"]


@every_page
def test_files_exist(page):
    names = re.findall(r"\b(?:cxrlib|tests|benchmarks|docs|params)/[\w./-]*\w", page.read_text(encoding="utf-8"))
    assert [name for name in names if not (PROJECT_ROOT / name).exists()] == []


@every_page
def test_modules_exist(page):
    for name in re.findall(r"\bcxrlib(?:\.\w+)+", page.read_text(encoding="utf-8")):
        path = PROJECT_ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").exists(), name


@every_page
def test_programs_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"-m ((?:cxrlib|benchmarks)[\w.]*)", text):
        path = PROJECT_ROOT.joinpath(*name.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    for name in re.findall(r"python3? ([\w/]+\.py)", text):
        assert (PROJECT_ROOT / name).exists(), name


@every_page
def test_commands_are_understood(page):
    for arguments in commands(page, "python run_all.py"):
        options = run_all._parser().parse_args(arguments)
        load_params(options.profile, options.overrides)
    stage = argparse.ArgumentParser()
    add_arguments(stage)
    stage.add_argument("--list")  # of `share`; a shell's variable stands for its name
    for arguments in commands(page, "-m cxrlib.stages."):
        options = stage.parse_args(arguments[1:])
        load_params(options.profile, options.overrides)


def test_commands_are_found():
    assert ["thesis", "--set", "data.root=/path/to/vinbigdata", "--list", "$1"] in commands(
        PROJECT_ROOT / "docs" / "clusters.md", "python -m cxrlib.stages.share"
    )


def test_the_readme_is_short_and_opens_every_door():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert [page for page in PAGES[2:] if f"({named(page)})" not in text] == []


def test_every_profile_has_its_line_in_the_readme():
    table = README.read_text(encoding="utf-8").partition("## Profiles")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == profile_names()
