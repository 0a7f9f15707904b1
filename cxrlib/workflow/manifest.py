"""The record of a run, manifest.json in the run's folder: what each notebook depended on, read and made, and where."""

import platform
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import cxrlib
from cxrlib.runtime.environment import environment
from cxrlib.runtime.files import PROJECT_ROOT, file_sha256, fingerprint, read_json, write_json
from cxrlib.workflow.filelog import FileLog, read_log
from cxrlib.workflow.notebooks import cells_of

RUNNING, DONE, FAILED, EDITED = "running", "done", "failed", "edited"


class Manifest:
    """The manifest of a run's folder. Every change is written to the file at once.

    Attributes:
        notebooks: name -> entry. An entry has `status`, `run` (the id on the notebook's tables and figures), `recipe`
            (as `freshness.recipe_of`), `begun`, `seconds`, `commit`, `dirty`, `machine`, `environment` (key of
            `environments`), `compute` (the device, threads, seeds and determinism that the notebook used), `reads`
            (path -> sha256, of files that others made) and `artefacts` (path -> sha256, bytes, mtime_ns, cell).
        commands: name -> entry, of files that are made outside of notebooks. The names are "report"
            and those of commands, e.g. "cxrlib.stages.share". An entry has `artefacts` as above, and that of the report
            `version`, the fingerprint of the results that the report shows and of its code.
        environments: fingerprint -> versions of all packages.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        content = read_json(self.path) if self.path.exists() else {}
        self.notebooks: dict[str, dict] = content.get("notebooks", {})
        self.commands: dict[str, dict] = content.get("commands", {})
        self.environments: dict[str, dict] = content.get("environments", {})

    def artefacts(self) -> Iterator[tuple[str, str, dict]]:
        """Every artefact: its path, the notebook or command that made it, and its record."""
        for maker, entry in [*self.notebooks.items(), *self.commands.items()]:
            for path, about in entry.get("artefacts", {}).items():
                yield path, maker, about

    def hashes(self) -> dict[str, str]:
        """The recorded sha256 of every artefact, by its path."""
        return {path: about["sha256"] for path, _, about in self.artefacts()}

    def results(self) -> dict[str, str]:
        """The recorded sha256 of every artefact except those of the report, by path."""
        return {path: about["sha256"] for path, maker, about in self.artefacts() if maker != "report"}

    def makers(self) -> dict[str, str]:
        """The notebook or command that made each artefact, by path."""
        return {path: maker for path, maker, _ in self.artefacts()}

    def hashes_of(self, names: Iterable[str]) -> dict[str, str | None]:
        """The sha256 of files below the folder, None where one is absent, by name.

        The recorded sha256 is returned where size and time of change are as recorded: reading several GB takes long.
        """
        recorded = {path: about for path, _, about in self.artefacts()}
        return {name: self._hash_of(name, recorded.get(name, {})) for name in names}

    def _hash_of(self, name: str, known: dict) -> str | None:
        path = self.folder / name
        if not path.is_file():
            return None
        facts = path.stat()
        if (known.get("bytes"), known.get("mtime_ns")) == (facts.st_size, facts.st_mtime_ns):
            return known["sha256"]
        return file_sha256(path)

    def begin(self, name: str, recipe: dict, run: str) -> None:
        """Note that a notebook begins; what it made before stays recorded as its own."""
        versions = environment()
        key = fingerprint(versions)
        self.environments[key] = versions
        self.notebooks[name] = self.notebooks.get(name, {}) | {
            "status": RUNNING,
            "run": run,
            "recipe": recipe,
            "begun": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": None,
            **_commit(),
            "machine": machine(),
            "environment": key,
        }
        self.save()

    def end(self, name: str, seconds: float, log: Path, executed: Path, status: str = DONE) -> None:
        """Note that a notebook is done: which files it read, and which it made in which cells.

        Tables and figures that the notebook made before and did not make again are deleted.

        Args:
            name: of the notebook.
            seconds: that the notebook took.
            log: the log of the notebook's files (`cxrlib.workflow.filelog`).
            executed: path of the executed notebook, which is recorded as an artefact.
            status: DONE, or EDITED if the code changed while the notebook ran.
        """
        found = read_log(log)
        cells = {cell["execution_count"]: cell.get("id") for cell in cells_of(executed, "code")}
        made = {path: cells.get(number) for path, number in found.writes.items()}
        made[executed.relative_to(self.folder).as_posix()] = None
        entry = self.notebooks[name]
        kept = {path: about for path, about in entry.get("artefacts", {}).items() if path not in made}
        for path in [path for path in kept if path.startswith(("tables/", "figures/"))]:
            (self.folder / path).unlink(missing_ok=True)
            del kept[path]
        own = kept | {path: {"cell": cell} for path, cell in made.items()}
        self._disown(own)
        entry["artefacts"] = {
            path: self._describe(path) | {"cell": about["cell"]}
            for path, about in sorted(own.items())
            if (self.folder / path).is_file()
        }
        entry["reads"] = self._reads(found, own)
        entry |= {"status": status, "seconds": round(seconds, 1), "compute": found.notes}
        self.save()

    def fail(self, name: str, seconds: float) -> None:
        """Note that a notebook failed."""
        self.notebooks[name] |= {"status": FAILED, "seconds": round(seconds, 1)}
        self.save()

    def changed(self, maker: str) -> list[Path]:
        """Files of `maker`, a notebook or command, that were changed or deleted since it made them."""
        made = {path: about["sha256"] for path, other, about in self.artefacts() if other == maker}
        return [self.folder / path for path, sha256 in self.hashes_of(made).items() if sha256 != made[path]]

    def keep(self, command: str, files: list[Path], version: str | None = None) -> None:
        """Note that a command has written `files`.

        A file that a notebook made before belongs to the command from now on. The notebook's entry moves the file's
        earlier hash from `artefacts` to `reads`, so that the notebook is stale if the command changed the file.
        """
        names = sorted(file.relative_to(self.folder).as_posix() for file in files)
        for entry in self.notebooks.values():
            before = {path: entry["artefacts"][path]["sha256"] for path in names if path in entry.get("artefacts", {})}
            entry["reads"] = entry.get("reads", {}) | before
        self._disown(names)
        self.commands[command] = {"version": version, "artefacts": {name: self._describe(name) for name in names}}
        self.save()

    def save(self) -> None:
        """Write the file, without environments in which no recorded notebook ran."""
        used = {entry["environment"] for entry in self.notebooks.values()}
        self.environments = {key: versions for key, versions in self.environments.items() if key in used}
        content = {
            "notebooks": self.notebooks,
            "commands": self.commands,
            "environments": self.environments,
            "version": cxrlib.__version__,
        }
        write_json(self.path, content)

    def claim(self, command: str, files: list[Path]) -> None:
        """`keep` those of `files` that are not recorded, with this content, as made by another notebook or command."""
        recorded = {path: about["sha256"] for path, maker, about in self.artefacts() if maker != command}
        names = {file.relative_to(self.folder).as_posix(): file for file in files}
        now = self.hashes_of(names)
        self.keep(command, [file for name, file in names.items() if recorded.get(name) != now[name]])

    def _disown(self, paths: Iterable[str]) -> None:
        """Remove these files from the artefacts of whoever made them before."""
        for entry in [*self.notebooks.values(), *self.commands.values()]:
            entry["artefacts"] = {
                path: about for path, about in entry.get("artefacts", {}).items() if path not in paths
            }

    def _reads(self, found: FileLog, own: dict) -> dict[str, str]:
        hashes = self.hashes_of(sorted(found.reads - own.keys()))
        return {path: sha256 for path, sha256 in hashes.items() if sha256}

    def _describe(self, name: str) -> dict:
        facts = (self.folder / name).stat()
        return {"sha256": file_sha256(self.folder / name), "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def verify(manifest: Manifest) -> list[str]:
    """Read and hash every artefact; return one line for each that differs from the manifest."""
    lines = []
    for path, maker, about in manifest.artefacts():
        file, where = manifest.folder / path, f" in cell {about['cell']}" if about.get("cell") else ""
        if not file.is_file():
            lines.append(f"{path} is missing, which {maker} made{where}")
        elif file_sha256(file) != about["sha256"]:
            lines.append(f"{path} has changed since {maker} made it{where}")
    return lines


def machine() -> dict[str, str]:
    """The system and the processor, as an entry of the manifest names them."""
    return {"system": platform.platform(), "processor": platform.machine()}


def _commit() -> dict[str, object]:
    """The project's commit, and whether files under version control differ from it; None without git."""
    found = {}
    for key, command in {"commit": ["rev-parse", "HEAD"], "dirty": ["status", "--porcelain", "-uno"]}.items():
        try:
            done = subprocess.run(["git", *command], cwd=PROJECT_ROOT, capture_output=True, text=True)
        except FileNotFoundError:
            done = None
        found[key] = done.stdout.strip() if done and done.returncode == 0 else None
    return {"commit": found["commit"], "dirty": None if found["dirty"] is None else bool(found["dirty"])}
