"""Versions of Python and of the packages that the project uses."""

import platform
import re
import tomllib
from functools import cache
from importlib import metadata

from cxrlib.runtime.files import PROJECT_ROOT


@cache
def environment() -> dict[str, str]:
    """Version by name, of Python, the project's dependencies, and their dependencies in turn."""
    from packaging.requirements import Requirement

    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    waiting, versions = list(project["dependencies"]), {"python": platform.python_version()}
    while waiting:
        requirement = Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in versions or not _applies(requirement):
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        versions[name] = distribution.version
        waiting += distribution.requires or []
    return dict(sorted(versions.items()))


def _applies(requirement: object) -> bool:
    """Whether a requirement applies to this machine. Requirements of extras do not."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
