"""What of the source pages reach, followed by name through the modules: a name that is defined or imported is that one,
a method of something whose type cannot be told is any of that name. So more may be found than a page can ever run,
never less.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]


class Definition(NamedTuple):
    """A function with all inside it, a part of a class, or what a name of a module is bound to."""

    module: str
    name: str
    node: ast.AST

    @property
    def where(self) -> str:
        return f"{self.module}.{self.name}"


class Source:
    """The modules below the folders: what they define, and what each name in them means."""

    def __init__(self, *folders: str) -> None:
        paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
        self.trees = {_module(path): ast.parse(path.read_text()) for path in paths}
        self.defined = {module: _definitions(module, tree) for module, tree in self.trees.items()}
        self.imported = {module: dict(self._imports(module, tree)) for module, tree in self.trees.items()}
        self.methods: dict[str, list[Definition]] = {}
        for part in (part for names in self.defined.values() for of in names.values() for part in of):
            if "." in part.name:
                self.methods.setdefault(part.name.rpartition(".")[2], []).append(part)

    def _imports(self, module: str, tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
        """Names that come from another module: which one, and the name there; "" for the module itself."""
        is_package = any(other.startswith(f"{module}.") for other in self.trees)
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                base = ".".join([*parts[: len(parts) - node.level + is_package], *filter(None, [base])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield alias.asname or alias.name, ((whole, "") if whole in self.trees else (base, alias.name))

    def meaning(self, module: str, name: str) -> list[Definition]:
        """What a name of a module stands for, all parts of a class; nothing when it comes from elsewhere."""
        if name in self.defined.get(module, {}):
            return self.defined[module][name]
        origin, there = self.imported.get(module, {}).get(name, ("", ""))
        return self.meaning(origin, there) if there else []

    def of_attribute(self, module: str, node: ast.Attribute) -> list[Definition]:
        if isinstance(node.value, ast.Name):
            origin, there = self.imported[module].get(node.value.id, ("", ""))
            if origin and not there:
                return self.meaning(origin, node.attr)
            of_class = self.meaning(module, node.value.id)
            if of_class and "." in of_class[0].name:
                return [part for part in of_class if part.name.endswith(f".{node.attr}")]
        return self.methods.get(node.attr, [])

    def reached(self, package: str) -> list[Definition]:
        """All that the modules of the package define, and whatever that leads to."""
        roots = (names for module, names in self.defined.items() if module.startswith(package))
        waiting = [one for names in roots for of in names.values() for one in of]
        found: dict[str, Definition] = {}
        while waiting:
            one = waiting.pop()
            if one.where in found:
                continue
            found[one.where] = one
            for node in ast.walk(one.node):
                if isinstance(node, ast.Name):
                    waiting += self.meaning(one.module, node.id)
                elif isinstance(node, ast.Attribute):
                    waiting += self.of_attribute(one.module, node)
        return list(found.values())


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _definitions(module: str, tree: ast.Module) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            found[statement.name] = [Definition(module, statement.name, statement)]
        elif isinstance(statement, ast.ClassDef):
            found[statement.name] = [
                Definition(module, f"{statement.name}.{getattr(part, 'name', part.lineno)}", part)
                for part in statement.body
            ]
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for name in map(ast.unparse, targets):
                found[name] = [Definition(module, name, statement.value)]
    return found
