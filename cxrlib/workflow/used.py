"""The code behind a notebook: what it imports, and the part of its run that it uses.

`cxrlib.run.Run` prepares data, trains, explains and more. A notebook depends on the methods of it that are named
somewhere in the notebook's code or in the code behind it, and on what these methods need. A notebook that never names
`train` does not depend on how a model is trained: the model itself is a file that the notebook reads.
"""

import ast
from functools import cache
from pathlib import Path

from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.fingerprints import code_sources, imported_names, meaning, named_attributes, source_fingerprints

RUN = "cxrlib.run"
GIVEN = ("cxrlib.params", "cxrlib.workflow")
"""Code that no result depends on: parameters enter by value, and the workflow only runs notebooks."""


def code_behind(source: str, root: Path = PROJECT_ROOT) -> dict[str, str]:
    """Fingerprint of every file that a notebook's code depends on, by its path from the project's root.

    Args:
        source: all code of the notebook.
        root: the project's folder.
    """
    names = imported_names(source)
    run = root.joinpath(*RUN.split(".")).with_suffix(".py")
    everything = code_sources(names, GIVEN, root)
    if run not in everything:
        return source_fingerprints(everything, root)
    whole, given, part, larger = everything[run], (*GIVEN, RUN), None, ""
    while larger != part:  # more code names more methods, and more methods need more code
        part = larger
        files = code_sources(names | imported_names(part), given, root)
        sources = [source, *(text for text in files.values() if text is not None)]
        larger = used_part(whole, frozenset().union(*map(named_attributes, sources)))
    return source_fingerprints(files, root) | {run.relative_to(root).as_posix(): meaning(part)}


@cache
def used_part(module: str, named: frozenset[str]) -> str:
    """Source of a module without the methods that nobody names, and without imports that only these need.

    Args:
        module: the module's source.
        named: what other code names; a method that is kept may name more.

    >>> print(used_part("import a, b\\nclass Run:\\n def f(self): a()\\n def g(self): b()", frozenset({"f"})))
    import a
    <BLANKLINE>
    class Run:
    <BLANKLINE>
        def f(self):
            a()
    """
    tree, kept = ast.parse(module), set(named)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    members = [member for node in classes for member in node.body]
    while more := frozenset().union(*(_named(member) for member in members if _is_kept(member, kept))) - kept:
        kept |= more
    for node in classes:
        node.body = [member for member in node.body if _is_kept(member, kept)] or [ast.Pass()]
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    rest = ast.Module([node for node in tree.body if node not in imports], [])
    used = {node.id for node in ast.walk(rest) if isinstance(node, ast.Name)}
    for node in imports:
        node.names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in used]
    tree.body = [node for node in tree.body if node not in imports or node.names]
    return ast.unparse(tree)


def _named(part: ast.AST) -> frozenset[str]:
    """Every attribute that a part of a source names, of whatever object."""
    return frozenset(node.attr for node in ast.walk(part) if isinstance(node, ast.Attribute))


def _is_kept(member: ast.stmt, named: set[str]) -> bool:
    if not isinstance(member, ast.FunctionDef):
        return True
    return member.name in named or (member.name.startswith("__") and member.name.endswith("__"))
