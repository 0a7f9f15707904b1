import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import cxrlib
from cxrlib.runtime.files import PROJECT_ROOT

CODE = {".py", ".pyc"}
PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", text).group().lower().replace("_", "-") for text in requirements}


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def undeclared(sources: list[str], declared: set[str]) -> set[str]:
    own = {"cxrlib", "benchmarks", "run_all"} | {path.stem for path in (PROJECT_ROOT / "tests").glob("*.py")}
    modules = set().union(*map(imported, sources)) - sys.stdlib_module_names - own
    providers = packages_distributions()
    return {module for module in modules if not names(providers.get(module, [])) & declared}


def test_conda_brings_python_and_pip_and_pip_the_project():
    environment = yaml.safe_load((PROJECT_ROOT / "environment.yml").read_text())
    python, *rest = environment["dependencies"]
    assert rest == ["pip", {"pip": ["-e ."]}]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert environment["name"] == PROJECT["name"]


def test_every_data_file_is_packaged():
    packaged = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = {PROJECT_ROOT.joinpath(*name.split(".")): globs for name, globs in packaged.items()}
    files = [path for path in (PROJECT_ROOT / "cxrlib").rglob("*") if path.is_file() and path.suffix not in CODE]
    lost = [path for path in files if not any(path.match(glob) for glob in patterns.get(path.parent, []))]
    assert files and lost == []
    assert [folder for folder in patterns if not (folder / "__init__.py").exists()] == []


def test_everything_imported_is_declared():
    files = [PROJECT_ROOT / "run_all.py", *(PROJECT_ROOT / "cxrlib").rglob("*.py")]
    sources = [path.read_text() for path in files]
    for notebook in (PROJECT_ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        sources += [re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", text) for text in code]
    assert undeclared(sources, names(PROJECT["dependencies"])) == set()


def test_everything_the_tests_import_is_declared():
    sources = [path.read_text() for path in (PROJECT_ROOT / "tests").rglob("*.py")]
    declared = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
    assert undeclared(sources, declared) == set()


def test_citation_agrees_with_the_package():
    citation = yaml.safe_load((PROJECT_ROOT / "CITATION.cff").read_text())
    assert citation["version"] == cxrlib.__version__
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert citation["references"][0]["authors"] == [{"family-names": "Chrysoula", "given-names": "Theodora"}]


@pytest.mark.parametrize("name", ["run", "lowest"])
def test_ci_scripts_are_executable_and_parse(name):
    script = PROJECT_ROOT / ".ci" / name
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_ci_runs_the_readme_s_test_command():
    command = re.search(r"pip install -e '\.\[test\]' && (.+)", (PROJECT_ROOT / "README.md").read_text())[1]
    assert command in (PROJECT_ROOT / ".ci" / "run").read_text().splitlines()


def test_the_lowest_versions_that_are_tested_are_those_of_the_requirements():
    script = (PROJECT_ROOT / ".ci" / "lowest").read_text()
    tested = set("".join(re.findall(r"packages\+?='(.*)'", script)).split("|"))
    bounded = {text.partition(">=")[0] for text in PROJECT["dependencies"] if re.fullmatch(r"[\w-]+>=[\d.]+", text)}
    assert tested <= bounded and {"opencv-python-headless", "numpy", "pydicom"} <= tested


def test_the_page_says_what_every_package_is_for():
    page = (PROJECT_ROOT / "docs" / "decisions.md").read_text(encoding="utf-8").partition("## Packages")[2]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")][1:]
    assert {name.strip() for row in rows for name in row.split(",")} == names(PROJECT["dependencies"])
