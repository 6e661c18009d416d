"""What blocks a folder has, read from the text of its files: nothing is run, and PyTorch is not imported.

Listing blocks, completing names and reading space files need names, allowed values and sources, and no weights; PyTorch
takes 1.3 s to import, reading these files 0.03 s. So what describes a block is written out: a literal, an f-string, `OneOf`,
`Range`, `Width`, `Annotated`, or a name of these, of this file or of another one here. When a file is run after all,
`blocks.base.block` finds the same or raises.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from blocks.base import Argument, Block, described
from blocks.hyperparameter import OneOf, Range, Width

_KNOWN = {"OneOf": OneOf, "Range": Range, "Width": Width, "int": int, "float": float, "str": str, "bool": bool}


def declared(folder: Path, package: str) -> Iterator[Block]:
    """The blocks of the files in `folder`, which are the modules of `package`, file by file.

    Raises TypeError with file and line for one that is not written out.
    """
    files: dict[str, _File] = {}
    for path in sorted(folder.glob("*.py")):
        name = package if path.stem == "__init__" else f"{package}.{path.stem}"
        files[name] = _File(path, name, files)
    for file in files.values():
        yield from file.blocks()


class _File:
    def __init__(self, path: Path, module: str, others: dict[str, _File]) -> None:
        self.path, self.module, self.others = path, module, others
        self.body = ast.parse(path.read_bytes(), filename=str(path)).body
        self.assigned: dict[str, ast.expr] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for statement in self.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self.assigned[statement.targets[0].id] = statement.value
            elif isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    self.imported[alias.asname or alias.name] = (statement.module or "", alias.name)

    def blocks(self) -> Iterator[Block]:
        for statement in self.body:
            if not isinstance(statement, ast.ClassDef):
                continue
            for decorator in statement.decorator_list:
                if isinstance(decorator, ast.Call) and self.means(decorator.func) == ("blocks.base", "block"):
                    yield self.block(statement, decorator)

    def means(self, called: ast.expr) -> tuple[str, str] | None:
        return self.imported.get(called.id) if isinstance(called, ast.Name) else None

    def block(self, kind: ast.ClassDef, decorator: ast.Call) -> Block:
        makers = [part for part in kind.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not makers:
            raise self.fault(kind, f"class {kind.name} has no constructor of its own")
        arguments = makers[0].args
        return described(
            self.value(decorator.args[0]),
            (self.module, kind.name),
            inspect.cleandoc(ast.get_docstring(kind, clean=False) or ""),
            [argument.arg for argument in arguments.args[1:]],
            [
                Argument(argument.arg, self.metadata(argument.annotation), default and self.value(default))
                for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            ],
            partial(_load, self.module, kind.name),
            {str(word.arg): self.value(word.value) for word in decorator.keywords},
        )

    def metadata(self, annotation: ast.expr | None) -> tuple[Any, ...]:
        return getattr(self.value(annotation), "__metadata__", ()) if annotation is not None else ()

    def value(self, node: ast.expr) -> Any:
        """What an expression means, without running it."""
        match node:
            case ast.Constant():
                return node.value
            case ast.JoinedStr():
                return "".join(str(self.value(part)) for part in node.values)
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return self.value(inner)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self.value(inner)
            case ast.Tuple() | ast.List():
                return tuple(self.value(part) for part in node.elts)
            case ast.Call(func=ast.Name(id="OneOf" | "Range" as name), keywords=[]):
                return _KNOWN[name](*(self.value(part) for part in node.args))
            case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[base, *rest])):
                return _annotated(self.value(base), tuple(self.value(part) for part in rest))
            case ast.Name(id=name):
                return self.named(node, name)
        raise self.fault(node, f"'{ast.unparse(node)}' describes a block and is not written out")

    def named(self, node: ast.expr, name: str) -> Any:
        if name in self.assigned:
            return self.value(self.assigned[name])
        module, original = self.imported.get(name, ("", name))
        if original not in _KNOWN and module not in self.others:
            raise self.fault(node, f"'{name}' describes a block and is not written out")
        return _KNOWN[original] if original in _KNOWN else self.others[module].named(node, original)

    def fault(self, node: ast.stmt | ast.expr, problem: str) -> TypeError:
        return TypeError(f"{self.path}:{node.lineno}: {problem} (see blocks/declarations.py)")


def _annotated(base: Any, metadata: tuple[Any, ...]) -> Any:
    return Annotated[(base, *metadata)]


def _load(module: str, name: str) -> Any:
    return getattr(import_module(module), name)
