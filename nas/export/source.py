"""The source of block classes, cut out of their files with everything they use, so that it stands alone.

A definition is taken as it was written, comments included, with these edits: the registration as a block goes, type
aliases that carry allowed values become plain types, and what two files call alike is told apart. Nothing is executed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from nas.config.block_files import module_source
from nas.errors import ExportError

WIDTH = 120
"""Columns of an exported file."""
_ALLOWED = frozenset({"torch", *sys.stdlib_module_names})
_FACE = "blocks.base"
"""What `import nas` and `import blocks` give to whoever writes a block is bound there."""
_REGISTRATION = (_FACE, "block")
_PRAGMA = re.compile(r" *# (type: ignore|noqa|pragma)\b[^\n#]*")
_BROKEN = re.compile(r"^( *def \w+\()\n +([^\n]*[^,\n])\n *(\).*:)$", flags=re.MULTILINE)
"""A signature that stands in a line of its own because it was longer in our source."""

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
Key = tuple[str, str]
"""Module and name of a definition."""


@dataclass(frozen=True)
class Imported:
    """A name that a module has from elsewhere."""

    module: str
    name: str | None
    """Name in the module; None is the module itself."""
    bound: str

    @property
    def statement(self) -> str:
        """The import of this name alone."""
        target = self.module if self.name is None else self.name
        alias = "" if self.bound == target else f" as {self.bound}"
        return f"import {target}{alias}" if self.name is None else f"from {self.module} import {target}{alias}"

    @property
    def target(self) -> str:
        """What it means, however it is written."""
        return self.module if self.name is None else f"{self.module}.{self.name}"


class SourceFile:
    """The text of a module and what its top level binds."""

    def __init__(self, module: str) -> None:
        self.module = module
        try:
            text = module_source(module)
        except (OSError, TypeError):
            raise ExportError(f"module '{module}': its source cannot be read, so it cannot be exported") from None
        self.lines = text.encode().splitlines(keepends=True)
        self.bound: dict[str, Imported | Definition] = {}
        for statement in ast.parse(text).body:
            self._index(statement)

    @property
    def faces(self) -> frozenset[str]:
        """What `nas` or `blocks` is called here, where it is imported as a whole."""
        imported = {name: bound for name, bound in self.bound.items() if isinstance(bound, Imported)}
        return frozenset(name for name, bound in imported.items() if bound.target in ("nas", "blocks", _FACE))

    def _index(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                self.bound[name] = Imported(alias.name if alias.asname else name, None, name)
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                bound = alias.asname or alias.name
                self.bound[bound] = Imported(statement.module or "", alias.name, bound)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            self.bound[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    self.bound[target.id] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            self.bound[statement.target.id] = statement
        elif isinstance(statement, ast.If):  # if TYPE_CHECKING
            for inner in statement.body:
                self._index(inner)


@dataclass
class Extract:
    """What stands in the new file, in an order in which it can be executed."""

    imports: dict[str, Imported] = field(default_factory=dict)
    """Imports by the name that they bind."""
    sources: dict[Key, str] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    """What each definition is called there."""


def extract(classes: Iterable[type], reserved: Iterable[str] = ()) -> Extract:
    """The source of these classes and of everything they use; nothing is called by one of the `reserved` names.

    Raises ExportError for a class that needs more than PyTorch and the standard library.
    """
    cutter = _Cutter(set(reserved))
    for kind in classes:
        cutter.take((kind.__module__, kind.__name__))
    return cutter.found


class _Cutter:
    def __init__(self, reserved: set[str]) -> None:
        self.found = Extract()
        self._reserved = reserved
        self._files: dict[str, SourceFile] = {}

    def take(self, key: Key) -> str:
        """Adds a definition after what it uses. Returns what it is called in the new file."""
        if key in self.found.names:
            return self.found.names[key]
        file = self._file(key[0])
        definition = file.bound.get(key[1])
        if not isinstance(definition, Definition):
            raise ExportError(
                f"{file.module}: '{key[1]}' is not defined at the top level, so it cannot be cut out of its file"
            )
        name = self.found.names[key] = self._free(key)
        self.found.sources[key] = ""  # in work: two functions may call each other
        text = self._text(file, definition, key[1], name)
        del self.found.sources[key]
        self.found.sources[key] = text
        return name

    def _free(self, key: Key) -> str:
        module, name = key
        taken = {*self._reserved, *self.found.names.values(), *self.found.imports}
        candidates = [name, f"{name}_{module.rpartition('.')[2]}"]
        return next((word for word in candidates if word not in taken), f"{name}_{len(taken)}")

    def _file(self, module: str) -> SourceFile:
        if module not in self._files:
            self._files[module] = SourceFile(module)
        return self._files[module]

    def resolve(self, file: SourceFile, name: str) -> Key | Imported | None:
        """What a global name of a file means: a definition of ours, an import of others', or None for a builtin."""
        bound = file.bound.get(name)
        if bound is None:
            return None
        if not isinstance(bound, Imported):
            return file.module, name
        package = bound.module.partition(".")[0]
        if package in _ALLOWED:
            return bound
        if bound.module == "nas" and bound.name in self._file(_FACE).bound:
            return self.resolve(self._file(_FACE), bound.name)
        if package not in ("blocks", file.module.partition(".")[0]):
            raise ExportError(f"{file.module}: uses the package '{package}'; only blocks of plain PyTorch are exported")
        if bound.name is None or f"{bound.module}.{bound.name}" in sys.modules:
            raise ExportError(f"{file.module}: '{name}' is a module; import what is used of it by name")
        inner = self.resolve(self._file(bound.module), bound.name)
        if inner is None:
            raise ExportError(f"{file.module}: '{name}' is not defined in {bound.module}")
        return inner

    def meaning(self, file: SourceFile, node: ast.Name | ast.Attribute) -> Key | Imported | None:
        """As `resolve`, for a name or for what `nas.` or `blocks.` stands before."""
        return self.resolve(*self._spelled(file, node))

    def _spelled(self, file: SourceFile, node: ast.Name | ast.Attribute) -> tuple[SourceFile, str]:
        if isinstance(node, ast.Name):
            return file, node.id
        face = self._file(_FACE)
        if node.attr not in face.bound:
            raise ExportError(f"{file.module}: uses '{ast.unparse(node)}', which an exported file cannot have")
        return face, node.attr

    def use(self, file: SourceFile, name: str) -> str:
        """What a global name of `file` is called in the new file, where it is added."""
        meaning = self.resolve(file, name)
        if meaning is None:
            return name
        if isinstance(meaning, tuple):
            return self.take(meaning)
        known = self.found.imports.setdefault(meaning.bound, meaning)
        if known.target != meaning.target or meaning.bound in self.found.names.values():
            raise ExportError(
                f"{file.module}: '{meaning.bound}' is {meaning.target} here, and something else elsewhere"
            )
        return meaning.bound

    # -- the text of one definition ------------------------------------------------------------------------------------

    def _text(self, file: SourceFile, definition: Definition, old: str, new: str) -> str:
        decorators = getattr(definition, "decorator_list", [])
        registration = [decorator for decorator in decorators if self._is_registration(file, decorator)]
        kept = [decorator for decorator in decorators if decorator not in registration]
        text = _Text(file.lines, min(node.lineno for node in (definition, *kept)), definition.end_lineno)
        skipped: set[ast.expr] = set(registration)
        for annotation in _annotations(definition):
            skipped.add(annotation)
            plain = self._plain(file, annotation)
            if ast.dump(plain) != ast.dump(annotation):
                text.replace(annotation, annotation, ast.unparse(plain))
            for node in _globals(plain, file.faces):
                self.use(*self._spelled(file, node))
        for argument, default in _defaults(definition):
            # A width may be relative where a space is written; a constructor gets a whole number.
            if argument.annotation is not None and isinstance(default, ast.Constant) and isinstance(default.value, str):
                plain = self._plain(file, argument.annotation)
                if isinstance(plain, ast.Name) and plain.id == "int":
                    text.replace(argument.annotation, default, "int")
        for node in _globals(definition, file.faces, skipped=skipped):
            called = self.use(*self._spelled(file, node))
            if called != ast.unparse(node):
                text.replace(node, node, called)
        above = min(node.lineno for node in (definition, *decorators)) - 1
        comments: list[bytes] = []
        while above > 0 and file.lines[above - 1].startswith(b"#"):
            above -= 1
            comments.insert(0, file.lines[above])
        words = b"".join(comments).decode() + text.edited()
        if old != new:
            head = rf"^((?:class |def )?){re.escape(old)}\b"
            words = re.sub(head, rf"\g<1>{new}", words, count=1, flags=re.MULTILINE)
        return _BROKEN.sub(_in_one_line, _PRAGMA.sub("", words)).rstrip("\n")

    def _is_registration(self, file: SourceFile, decorator: ast.expr) -> bool:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        return next((self.meaning(file, node) for node in _globals(call, file.faces)), None) == _REGISTRATION

    def _plain(self, file: SourceFile, annotation: ast.expr) -> ast.expr:
        """An annotation without `Annotated` and without aliases of ours."""
        cutter = self

        class Plain(ast.NodeTransformer):
            def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
                if ast.unparse(node.value).rpartition(".")[2] == "Annotated":
                    assert isinstance(node.slice, ast.Tuple)
                    inner: ast.expr = self.visit(node.slice.elts[0])
                    return inner
                self.generic_visit(node)
                return node

            def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
                return self.visit_Name(node) if _is_face(node, file.faces) else node

            def visit_Name(self, node: ast.Name | ast.Attribute) -> ast.expr:
                meaning = cutter.meaning(file, node)
                if isinstance(meaning, tuple):
                    home = cutter._file(meaning[0])
                    definition = home.bound[meaning[1]]
                    if isinstance(definition, ast.Assign):
                        return cutter._plain(home, definition.value)
                return node

        copy = ast.parse(ast.unparse(annotation), mode="eval").body
        plain: ast.expr = Plain().visit(copy)
        return plain


class _Text:
    """Some lines of a file, and what shall stand in place of some nodes. Columns count bytes, as `ast` does."""

    def __init__(self, lines: list[bytes], first: int, last: int | None) -> None:
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._begin = self._starts[first - 1]
        self._body = b"".join(lines[first - 1 : last])
        self._edits: dict[tuple[int, int], bytes] = {}

    def replace(self, first: ast.expr, last: ast.expr, text: str) -> None:
        """Puts `text` in place of everything from the begin of `first` to the end of `last`; the widest of two wins."""
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        left = self._starts[first.lineno - 1] + first.col_offset - self._begin
        right = self._starts[last.end_lineno - 1] + last.end_col_offset - self._begin
        self._edits = {span: words for span, words in self._edits.items() if span[0] != left}
        self._edits[left, right] = text.encode()

    def edited(self) -> str:
        """The lines with all that replaced."""
        body = self._body
        for (left, right), text in sorted(self._edits.items(), reverse=True):
            body = body[:left] + text + body[right:]
        return body.decode()


def _annotations(definition: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(definition):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.returns


def _defaults(definition: ast.AST) -> Iterator[tuple[ast.arg, ast.expr]]:
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if default is not None:
                    yield argument, default


def _globals(
    node: ast.AST, faces: frozenset[str], local: frozenset[str] = frozenset(), skipped: Collection[ast.expr] = ()
) -> Iterator[ast.Name | ast.Attribute]:
    """Every use of a name that no function around it binds; what is below a node of `skipped` does not count.

    What stands behind one of `faces` and a dot, such as `nas.ShapeError`, is one name.
    """
    if isinstance(node, ast.expr) and node in skipped:
        return
    if isinstance(node, ast.Attribute) and _is_face(node, faces - local):
        yield node
        return
    if isinstance(node, ast.Name):
        if node.id not in local and isinstance(node.ctx, ast.Load):
            yield node
        return
    inner = local | _bound_in(node) if isinstance(node, ast.FunctionDef | ast.Lambda) else local
    for child in ast.iter_child_nodes(node):
        yield from _globals(child, faces, inner, skipped)


def _is_face(node: ast.Attribute, faces: frozenset[str]) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in faces


def _bound_in(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    names: set[str] = set()
    waiting: list[ast.AST] = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what it binds inside is its own
        waiting.extend(ast.iter_child_nodes(node))
    return names


def _in_one_line(found: re.Match[str]) -> str:
    joined = "".join(found.groups())
    return joined if len(joined) <= WIDTH else found.group()
