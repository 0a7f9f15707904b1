"""Who imports whom in cxrlib, read from the syntax of its modules; nothing is imported.

`python tests/import_graph.py --write` draws the graph anew in docs/architecture.md; without --write it prints it.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE, PAGE = PROJECT / "cxrlib", PROJECT / "docs" / "architecture.md"
BEGIN, END = "<!-- begin of what python tests/import_graph.py --write writes -->\n\n", "\n<!-- end of it -->\n"

ROOMS = ("runtime", "data", "model", "explain", "evaluate", "stages", "thesis", "show")
"""The folders; each imports only those to its left."""
BESIDE = ("workflow", "params", "run", "__main__")
"""The runner of notebooks, the parameters, a notebook's run and the command: nothing left of the stages knows them."""


class Arrow(NamedTuple):
    """One import: a line of the module `importer` imports the module, or something in it, called `imported`."""

    importer: str
    imported: str
    place: str

    @property
    def rooms(self) -> tuple[str, str]:
        """The rooms at both ends."""
        return room_of(self.importer), room_of(self.imported)


def room_of(name: str) -> str:
    """The room of a dotted name: "data" for cxrlib.data.render.bones, "cxrlib" for the package's own names."""
    second = [*name.split("."), ""][1]
    return second if second in ROOMS + BESIDE else "cxrlib"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """File of every module by its dotted name; a face (__init__.py) has the name of its folder."""
    paths = sorted(package.rglob("*.py"))
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def arrows(package: Path = PACKAGE) -> Iterator[Arrow]:
    """Every import of the package by itself: on loading, inside of functions and under TYPE_CHECKING."""
    for importer, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = path.relative_to(package.parent).parts[: -node.level] if node.level else ()
                source = ".".join([*above, *filter(None, [node.module])])
                names = [f"{source}.{alias.name}" for alias in node.names]
            else:
                continue
            place = f"{path.relative_to(package.parent).as_posix()}:{node.lineno}"
            yield from (Arrow(importer, name, place) for name in names if name.split(".")[0] == package.name)


def may_import(room: str) -> set[str]:
    """The rooms that a room may import."""
    others = {"cxrlib": {"workflow"}, "params": {"runtime"}, "workflow": {"runtime", "params"}}
    if room not in ROOMS:
        return others.get(room, {*ROOMS, *BESIDE})
    left = ROOMS[: ROOMS.index(room)]
    return {*left, *(BESIDE if room == "stages" or "stages" in left else ())}


def violations(package: Path = PACKAGE) -> list[str]:
    """Every import against the rule: where, and what."""
    return [
        f"{arrow.place}: {arrow.rooms[0]} imports {arrow.imported}"
        for arrow in arrows(package)
        if arrow.rooms[1] not in {arrow.rooms[0], "cxrlib", *may_import(arrow.rooms[0])}
    ]


def imported_rooms(package: Path = PACKAGE) -> Counter[tuple[str, str]]:
    """How many pairs of modules, one importing the other, there are between two rooms."""
    known = modules(package)
    pairs = {
        (arrow.importer, arrow.imported if arrow.imported in known else arrow.imported.rpartition(".")[0])
        for arrow in arrows(package)
    }
    return Counter((room_of(importer), room_of(imported)) for importer, imported in pairs)


def diagram(package: Path = PACKAGE) -> str:
    """The graph in Markdown: a Mermaid diagram of the rooms, and a table with the number of modules and of arrows."""
    counts, rooms = imported_rooms(package), [*ROOMS, *BESIDE]
    below = {room: {other for other in [*ROOMS, "workflow"] if counts[room, other] and other != room} for room in rooms}
    lines = ["```mermaid", "graph RL"]
    for room in [*ROOMS, "workflow"]:
        longer = set().union(*(_reached(below, other) for other in below[room]))
        lines += [f"    {room} --> {other}" for other in [*ROOMS, "workflow"] if other in below[room] - longer]
    lines += ["```", "", f"| imports | modules | {' | '.join(rooms)} |", "|---" * (len(rooms) + 2) + "|"]
    sizes = Counter(room_of(name) for name, path in modules(package).items() if path.stem != "__init__")
    for room in rooms:
        cells = [str(counts[room, other] or "") if other != room else "·" for other in rooms]
        lines.append(f"| **{room}** | {sizes[room]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _reached(below: dict[str, set[str]], room: str) -> set[str]:
    """Every room that a room imports, directly or through others."""
    return below[room].union(*(_reached(below, other) for other in below[room]))


def page_with(diagram_text: str) -> str:
    """The text of docs/architecture.md with this diagram between its markers."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + diagram_text + END + rest.partition(END)[2]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page_with(diagram()), encoding="utf-8")
    else:
        print(diagram(), end="")
