"""Python source as a fingerprint sees it: top-level symbols, what each one mentions, and a hash that comments cannot change."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

BODY = ""  # the pseudo-symbol for what importing a module does besides defining names


@dataclass(frozen=True)
class Target:
    """What a name stands for: a module, or a symbol in one."""

    module: str
    symbol: str | None = None

    def __str__(self) -> str:
        return self.module if self.symbol is None else f"{self.module}:{self.symbol}"


@dataclass(frozen=True)
class Symbol:
    """A top-level name of a module, or its BODY: every statement that makes it."""

    statements: tuple[ast.stmt, ...]
    imports: Mapping[str, Target]  # local name -> target, of imports inside it
    imported: frozenset[str]  # modules those imports load
    chains: frozenset[tuple[str, ...]]  # `a.b.c` for every identifier a in it, however bound
    decorators: frozenset[tuple[str, ...]]

    @cached_property
    def dump(self) -> str:
        return "\n".join(ast.dump(statement) for statement in self.statements)


@dataclass
class Module:
    """One parsed file. `imports` and `imported` are those of its top level, outside `if TYPE_CHECKING`."""

    name: str
    package: str  # what relative imports start from
    docstring: str | None
    symbols: dict[str, Symbol] = field(default_factory=dict)
    imports: dict[str, Target] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    stars: set[str] = field(default_factory=set)  # modules of `from x import *`

    def function(self, name: str) -> ast.FunctionDef | None:
        made = self.symbols[name].statements[-1] if name in self.symbols else None
        return made if isinstance(made, ast.FunctionDef) else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parse(name: str, file: Path) -> Module:
    """The module `name` as `file` has it; flies a SyntaxError, which is as much as running it would do."""
    tree = ast.parse(file.read_bytes(), filename=str(file))
    module = Module(name, name if file.stem == "__init__" else name.rpartition(".")[0], ast.get_docstring(tree))
    _drop_bare_constants(tree)
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _read_import(statement, module.package, module.imports, module.imported, module.stars)
        elif not _is_type_checking(statement):
            for symbol in _defined(statement):
                statements.setdefault(symbol, []).append(statement)
    module.symbols = {symbol: _symbol(made, module) for symbol, made in statements.items()}
    if BODY in module.symbols:  # an import in a `try` binds for the whole module
        module.imports.update(module.symbols[BODY].imports)
    return module


def _defined(statement: ast.stmt) -> list[str]:
    """The names a top-level statement only defines; BODY if it may do more than that."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = [part for target in statement.targets for part in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])]
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return [BODY]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else [BODY]


def _symbol(statements: list[ast.stmt], module: Module) -> Symbol:
    imports: dict[str, Target] = {}
    imported: set[str] = set()
    chains: set[tuple[str, ...]] = set()
    for node in (node for statement in statements for node in _walk(statement)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            _read_import(node, module.package, imports, imported, module.stars)
        elif isinstance(node, ast.expr) and (chain := _chain(node)):
            chains.add(chain)
    decorators = {
        chain
        for statement in statements
        for decorator in getattr(statement, "decorator_list", [])
        if (chain := _chain(decorator.func if isinstance(decorator, ast.Call) else decorator))
    }
    return Symbol(tuple(statements), imports, frozenset(imported), frozenset(chains), frozenset(decorators))


def _walk(start: ast.AST) -> Iterator[ast.AST]:
    """Every node below, attribute chains as one, annotations in quotes as code, without `if TYPE_CHECKING` blocks."""
    pending = [start]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and _is_type_checking(node):
            continue
        yield node
        if isinstance(node, ast.Attribute) and _chain(node):
            continue
        for name in node._fields:
            value = getattr(node, name, None)
            children = [child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)]
            pending += children
            if name in ("annotation", "returns"):
                pending += [code for child in children for code in _quoted(child)]


def _quoted(annotation: ast.AST) -> Iterator[ast.AST]:
    for part in ast.walk(annotation):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError):  # a word of Annotated or Literal, not a type
                yield ast.parse(part.value, mode="eval")


def _chain(node: ast.expr) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (chain := _chain(node.value)):
        return (*chain, node.attr)
    return None


def _read_import(node: ast.Import | ast.ImportFrom, package: str, imports: dict[str, Target], imported: set[str], stars: set[str]) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            imported.add(alias.name)
            imports[alias.asname or alias.name.partition(".")[0]] = Target(alias.name if alias.asname else alias.name.partition(".")[0])
        return
    source = node.module or ""
    if node.level:
        base = package.split(".")[: len(package.split(".")) - node.level + 1]
        source = ".".join([*base, *([source] if source else [])])
    for alias in node.names:
        imported.update((source, f"{source}.{alias.name}"))  # the second may be a module too
        if alias.name == "*":
            stars.add(source)
        else:
            imports[alias.asname or alias.name] = Target(source, alias.name)


def _is_type_checking(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and (chain := _chain(statement.test)) is not None
        and chain[-1] == "TYPE_CHECKING"
        and not statement.orelse
    )


def _drop_bare_constants(tree: ast.Module) -> None:
    """Docstrings, attribute docstrings and `...`: statements that do nothing."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                block[:] = [item for item in block if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
                pending += block
