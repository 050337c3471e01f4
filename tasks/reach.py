"""What a stage can reach: from its `run`, through names and imports, over the modules of a project. Imports none of them.

Reaching is by name and errs on the side of too much: a name mentioned anywhere in a reachable symbol is reached, a module used as a
value is reached whole, and a module that is imported adds what its import does.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tasks.syntax import BODY, Module, Symbol, Target, digest, parse

# Loaded in every stage's process, and nothing of them decides a byte of an output.
RUNNER = {"model", "model.errors", "tasks"} | {
    f"tasks.{name}" for name in ("__main__", "code", "machine", "params", "ranks", "reach", "session", "shown", "syntax", "tracking")
}


class Project:
    """The modules below some folders, parsed when first asked for."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = folders
        self.parsed: dict[str, Module | None] = {}
        self.mentioned: dict[Target, list[tuple[str, Target]]] = {}
        self.asking: dict[Target, list[tuple[str, ast.Call | None]]] = {}
        self.digests: dict[Target, str] = {}

    def __contains__(self, name: str) -> bool:
        if name not in self.parsed:
            file = self._file(name)
            self.parsed[name] = parse(name, file) if file else None
        return self.parsed[name] is not None

    def __getitem__(self, name: str) -> Module:
        module = self.parsed[name] if name in self else None
        if module is None:
            raise KeyError(name)
        return module

    def _file(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first not in self.folders:
            return None
        path = self.folders[first].joinpath(*rest)
        files = [path / "__init__.py", path.with_suffix(".py")] if rest else [path / "__init__.py"]
        return next((file for file in files if file.is_file()), None)

    def symbol(self, target: Target) -> Symbol:
        return self[target.module].symbols[target.symbol or BODY]

    def resolve(self, target: Target) -> Target | None:
        """The module or symbol of this project that `target` means in the end; None if it is somebody else's."""
        while target.symbol is not None and target.module in self:
            module = self[target.module]
            if target.symbol in module.symbols:
                return target
            if target.symbol in module.imports:
                target = module.imports[target.symbol]
            elif f"{target.module}.{target.symbol}" in self:
                return Target(f"{target.module}.{target.symbol}")
            else:  # made by __getattr__ or a star: all of it
                return Target(target.module)
        return target if target.module in self else None

    def follow(self, target: Target, attributes: tuple[str, ...]) -> Target:
        """Through `module.submodule.symbol`, to the symbol or to the last module."""
        for attribute in attributes:
            found = self.resolve(target)
            if found is None or found.symbol is not None:
                return target
            target = Target(found.module, attribute)
        return target

    def mentions(self, target: Target) -> list[tuple[str, Target]]:
        """(spelling, meaning) of each name in a symbol that is bound at the top of its module or imported inside the symbol."""
        if target not in self.mentioned:
            self.mentioned[target] = list(self._mentions(target))
        return self.mentioned[target]

    def _mentions(self, target: Target) -> Iterator[tuple[str, Target]]:
        module, symbol = self[target.module], self.symbol(target)
        for first, *rest in symbol.chains:
            if first in module.symbols:
                yield first, Target(module.name, first)
            for imports in (module.imports, symbol.imports):
                if first in imports:
                    yield ".".join([first, *rest]), self.follow(imports[first], tuple(rest))

    def asked(self, target: Target) -> list[tuple[str, ast.Call | None]]:
        """The names that a symbol asks any object for, and the call where that is called at once."""
        if target not in self.asking:
            nodes = [node for statement in self.symbol(target).statements for node in ast.walk(statement)]
            calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
            self.asking[target] = [(node.attr, calls.get(id(node))) for node in nodes if isinstance(node, ast.Attribute)]
        return self.asking[target]

    def accepts(self, target: Target, call: ast.Call) -> bool:
        """Whether a call could be one of `target`: `text.encode("utf-8")` is not one of a function of four."""
        found = self.resolve(target)
        definition = self.symbol(found).statements[-1] if found and found.symbol else None
        return not isinstance(definition, ast.FunctionDef) or _fits(call, definition.args)

    def digest(self, target: Target) -> str:
        """The hash of a symbol: its syntax, and what the names in it mean."""
        if target not in self.digests:
            meanings = sorted({f"{name}={meant}" for name, meant in self.mentions(target)})
            self.digests[target] = digest("\n".join([self.symbol(target).dump, *meanings]))
        return self.digests[target]


class Reach:
    """Symbols and modules of a project that can take part when a stage runs; grows with what is added."""

    def __init__(self, project: Project, *targets: Target) -> None:
        self.project = project
        self.symbols: set[Target] = set()
        self.modules: set[str] = set()
        self.whole: set[str] = set()
        for target in targets:
            self.add(target)

    def add(self, target: Target) -> None:
        """`target`, with all that it mentions and all that importing it does."""
        found = self.project.resolve(target)
        if found is None or found in self.symbols:
            return
        self._load(found.module)
        if found.module in RUNNER:
            return
        if found.symbol is None:
            self._add_whole(found.module)
            return
        self.symbols.add(found)
        symbol = self.project.symbol(found)
        for name in symbol.imported:
            self._load(name)
        for _, meant in self.project.mentions(found):
            self.add(meant)
        if {("globals",), ("vars",)} & symbol.chains:
            self._add_whole(found.module)

    def add_interfaces(self, names: Iterable[str]) -> None:
        """Of modules that are only loaded by name, the symbols that reachable code asks any object for."""
        modules = [self.project[name] for name in names]
        for module in modules:
            self._load(module.name)
        done: set[Target] = set()
        while fresh := self.symbols - done:
            done |= fresh
            for name, call in (asked for target in fresh for asked in self.project.asked(target)):
                for target in (Target(module.name, name) for module in modules if name in module.symbols or name in module.imports):
                    if call is None or self.project.accepts(target, call):
                        self.add(target)

    def hashes(self) -> dict[str, str]:
        """By dotted name, the hash of each symbol; a module's own name stands for what importing it does."""
        return {".".join(filter(None, (target.module, target.symbol))): self.project.digest(target) for target in self.symbols}

    def libraries(self) -> set[str]:
        """Top-level names of the imported modules that are neither ours nor Python's."""
        imported = {name for target in self.symbols for name in self.project.symbol(target).imported}
        imported |= {name for module in self.modules - RUNNER for name in self.project[module].imported}
        return {name.partition(".")[0] for name in imported} - set(self.project.folders) - set(sys.stdlib_module_names)

    def _load(self, name: str) -> None:
        """Importing a module runs it, what it imports, and the packages above it."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in self.project or name in self.modules:
                continue
            self.modules.add(name)
            if name in RUNNER:
                continue
            module = self.project[name]
            for imported in module.imported:
                self._load(imported)
            for star in module.stars:
                self.add(Target(star))
            for symbol, made in module.symbols.items():
                if symbol == BODY or self._is_kept_elsewhere(module, made):
                    self.add(Target(name, symbol))

    def _is_kept_elsewhere(self, module: Module, symbol: Symbol) -> bool:
        """A decorator of ours may put what it decorates into a table; others are taken to return it."""
        names = {first for first, *_ in symbol.decorators}
        return any(self.project.resolve(module.imports[name]) if name in module.imports else name in module.symbols for name in names)

    def _add_whole(self, name: str) -> None:
        if name not in self.whole:
            self.whole.add(name)
            module = self.project[name]
            for meant in [*(Target(name, symbol) for symbol in module.symbols), *module.imports.values()]:
                self.add(meant)


def _fits(call: ast.Call, parameters: ast.arguments) -> bool:
    """Whether a call could be one of a function with these parameters."""
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(word.arg is None for word in call.keywords):
        return True
    named = {word.arg for word in call.keywords}
    positional = [parameter.arg for parameter in [*parameters.posonlyargs, *parameters.args]]
    required = {*positional[: len(positional) - len(parameters.defaults)]} | {
        parameter.arg for parameter, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if default is None
    }
    given = named | set(positional[: len(call.args)])
    known = {*positional, *(parameter.arg for parameter in parameters.kwonlyargs)}
    return (
        required <= given
        and (named <= known or parameters.kwarg is not None)
        and (len(call.args) <= len(positional) or parameters.vararg is not None)
    )
