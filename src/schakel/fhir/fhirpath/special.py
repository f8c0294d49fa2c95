"""Functions whose arguments run once for each item, or not at all: `where`, `select`, `iif` and their like.

Sources: FHIRPath N1 2.0 sections 5.1, 5.2, 5.5.1, 5.9 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from typing import TYPE_CHECKING

from schakel.fhir.fhirpath.code import BOOLEAN, Code, Types
from schakel.fhir.fhirpath.logic import unique
from schakel.fhir.fhirpath.nodes import EMPTY, FALSE, TRUE, Evaluation, Node, Nodes, Run, boolean, single
from schakel.fhir.fhirpath.registry import FUNCTIONS
from schakel.fhir.fhirpath.syntax import Call, Unary
from schakel.fhir.fhirpath.values import key, order
from schakel.kernel.outcomes import TooCostly

if TYPE_CHECKING:
    from schakel.fhir.fhirpath.compiler import Compiler

Build = Callable[["Compiler", Call, Types], Code]

MAX_REPEAT = 200_000
"""Most items that repeat() collects before it is called endless."""


@dataclass(frozen=True, slots=True)
class Special:
    """A function that compiles its own arguments."""

    least: int
    most: int
    build: Build


SPECIAL: dict[str, Special] = {}


def _special(name: str, least: int, most: int) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        SPECIAL[name] = Special(least, most, build)
        return build

    return add


@_special("where", 1, 1)
def _where(compiler: Compiler, tree: Call, focus: Types) -> Code:
    base = compiler.base(tree.base, focus)
    before, truth = base.run, compiler.truth
    criterion = compiler.compile(tree.arguments[0], base.types).run

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        out: Nodes = []
        outer = evaluation.index
        for index, node in enumerate(before(evaluation, focus)):
            evaluation.index = index
            found = criterion(evaluation, [node])
            if found is TRUE or (found is not FALSE and truth(found)):
                out.append(node)
        evaluation.index = outer
        return out

    return Code(run, base.types)


@_special("exists", 0, 1)
def _exists(compiler: Compiler, tree: Call, focus: Types) -> Code:
    if tree.arguments:
        before = _where(compiler, tree, focus).run
    else:
        before = compiler.base(tree.base, focus).run
    return Code(lambda evaluation, focus: TRUE if before(evaluation, focus) else FALSE, BOOLEAN)


@_special("all", 0, 1)
def _all(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """Without a criterion it is what became `allTrue()`, in the drafts that STU3 was written with."""
    base = compiler.base(tree.base, focus)
    before, truth = base.run, compiler.truth
    if not tree.arguments:
        if not compiler.model.draft:
            compiler.fail(tree.at, "all() takes 1 argument, not 0")
        every = FUNCTIONS["allTrue"].body
        return Code(lambda evaluation, focus: every(evaluation, before(evaluation, focus)), BOOLEAN)
    criterion = compiler.compile(tree.arguments[0], base.types).run

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        outer = evaluation.index
        answer = TRUE
        for index, node in enumerate(before(evaluation, focus)):
            evaluation.index = index
            found = criterion(evaluation, [node])
            if found is not TRUE and not truth(found):
                answer = FALSE
                break
        evaluation.index = outer
        return answer

    return Code(run, BOOLEAN)


@_special("select", 1, 1)
def _select(compiler: Compiler, tree: Call, focus: Types) -> Code:
    base = compiler.base(tree.base, focus)
    before = base.run
    projection = compiler.compile(tree.arguments[0], base.types)
    project = projection.run

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        out: Nodes = []
        outer = evaluation.index
        for index, node in enumerate(before(evaluation, focus)):
            evaluation.index = index
            out += project(evaluation, [node])
        evaluation.index = outer
        return out

    return Code(run, projection.types)


@_special("repeat", 1, 1)
def _repeat(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """Items found more than once, by equality, are taken once."""
    base = compiler.base(tree.base, focus)
    before, types = base.run, base.types
    while types is not None:
        found = compiler.compile(tree.arguments[0], types).types
        if found is not None and found <= types:
            break
        types = None if found is None else types | found
    # The first round has the types of the base only; a later one may have more, and no name is then unknown.
    project = compiler.compile(tree.arguments[0], types).run

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        seen: set[object] = set()
        out: Nodes = []
        waiting = before(evaluation, focus)
        while waiting:
            fresh: Nodes = []
            for node in waiting:
                projected = project(evaluation, [node])
                evaluation.weigh(projected)
                for found in projected:
                    mark = key(found)
                    if mark not in seen:
                        seen.add(mark)
                        fresh.append(found)
            evaluation.spend(len(waiting) + len(fresh))
            out += fresh
            if len(out) > MAX_REPEAT:
                raise TooCostly("FHIRPath: repeat() does not come to an end", code="fhirpath-too-costly")
            waiting = fresh
        return out

    return Code(run, None)


@_special("aggregate", 1, 2)
def _aggregate(compiler: Compiler, tree: Call, focus: Types) -> Code:
    base = compiler.base(tree.base, focus)
    before = base.run
    step = compiler.compile(tree.arguments[0], base.types).run
    initial = compiler.compile(tree.arguments[1], focus).run if len(tree.arguments) > 1 else None

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        outer, total = evaluation.index, evaluation.total
        evaluation.total = EMPTY if initial is None else initial(evaluation, focus)
        for index, node in enumerate(before(evaluation, focus)):
            evaluation.index = index
            evaluation.total = step(evaluation, [node])
        result = evaluation.total
        evaluation.index, evaluation.total = outer, total
        return result

    return Code(run, None)


@_special("iif", 2, 3)
def _iif(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """Only the chosen branch runs; the arguments have the input as their focus."""
    base = compiler.base(tree.base, focus)
    before, truth, lenient = base.run, compiler.truth, compiler.lenient
    inner = [compiler.compile(argument, base.types) for argument in tree.arguments]
    condition, then = inner[0].run, inner[1].run
    other = inner[2].run if len(inner) > 2 else None
    types: Types = frozenset()
    for code in inner[1:]:
        types = None if types is None or code.types is None else types | code.types

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        nodes = before(evaluation, focus)
        if not lenient:
            single(nodes, "iif()")
        if truth(condition(evaluation, nodes)):
            return then(evaluation, nodes)
        return EMPTY if other is None else other(evaluation, nodes)

    return Code(run, types)


@_special("trace", 1, 2)
def _trace(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """The input, unchanged. Nothing is written: an expression works on personal data."""
    base = compiler.base(tree.base, focus)
    for argument, types in zip(tree.arguments, (focus, base.types), strict=False):
        compiler.compile(argument, types)
    return base


@_special("sort", 0, 10)
def _sort(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """Ascending by each criterion in turn, descending for one with a minus; a missing value is the least."""
    base = compiler.base(tree.base, focus)
    before = base.run
    criteria: list[tuple[Run, int]] = []
    for argument in tree.arguments:
        descending = isinstance(argument, Unary) and argument.operator == "-"
        by = argument.operand if isinstance(argument, Unary) and descending else argument
        criteria.append((compiler.compile(by, base.types).run, -1 if descending else 1))
    criteria = criteria or [(lambda evaluation, focus: focus, 1)]

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        nodes = before(evaluation, focus)
        ranked = [([single(by(evaluation, [n]), "sort()") for by, _ in criteria], n) for n in nodes]

        def compare(a: tuple[list[Node | None], Node], b: tuple[list[Node | None], Node]) -> int:
            for mine, theirs, (_, sign) in zip(a[0], b[0], criteria, strict=True):
                found = _compare(mine, theirs)
                if found:
                    return sign * found
            return 0

        return [node for _, node in sorted(ranked, key=cmp_to_key(compare))]

    return Code(run, base.types)


def _compare(a: Node | None, b: Node | None) -> int:
    if a is None or b is None:
        return (a is not None) - (b is not None)
    return order(a, b, "sort()") or 0


@_special("not", 0, 0)
def _not(compiler: Compiler, tree: Call, focus: Types) -> Code:
    before, truth = compiler.base(tree.base, focus).run, compiler.truth

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        found = before(evaluation, focus)
        if found is TRUE:
            return FALSE
        if found is FALSE:
            return TRUE
        value = truth(found)
        return EMPTY if value is None else boolean(not value)

    return Code(run, BOOLEAN)


@_special("union", 1, 1)
def _union(compiler: Compiler, tree: Call, focus: Types) -> Code:
    base, other = compiler.base(tree.base, focus), compiler.compile(tree.arguments[0], focus)
    left, right = base.run, other.run
    types = None if base.types is None or other.types is None else base.types | other.types
    return Code(lambda e, focus: unique(e, [*left(e, focus), *right(e, focus)]), types)


@_special("combine", 1, 1)
def _combine(compiler: Compiler, tree: Call, focus: Types) -> Code:
    base, other = compiler.base(tree.base, focus), compiler.compile(tree.arguments[0], focus)
    left, right = base.run, other.run
    types = None if base.types is None or other.types is None else base.types | other.types
    return Code(lambda e, focus: [*left(e, focus), *right(e, focus)], types)


@_special("children", 0, 0)
def _children(compiler: Compiler, tree: Call, focus: Types) -> Code:
    before, model = compiler.base(tree.base, focus).run, compiler.model

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        out = [child for node in before(evaluation, focus) for child in model.children(node)]
        evaluation.spend(len(out))
        return out

    return Code(run, None)


@_special("descendants", 0, 0)
def _descendants(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """Every node below, level by level, each with its type."""
    before, model = compiler.base(tree.base, focus).run, compiler.model

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        out: Nodes = []
        level = before(evaluation, focus)
        while level:
            level = [child for node in level for child in model.children(node)]
            evaluation.spend(len(level))
            out += level
        return out

    return Code(run, None)


@_special("type", 0, 0)
def _type(compiler: Compiler, tree: Call, focus: Types) -> Code:
    """The namespace and name of each item's type, as a structure with those two members."""
    before = compiler.base(tree.base, focus).run

    def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
        out: Nodes = []
        for node in before(evaluation, focus):
            system = node.type.startswith("System.")
            name = node.type.removeprefix("System.")
            out.append(Node({"namespace": "System" if system else "FHIR", "name": name}, "System.TypeInfo"))
        return out

    return Code(run, None)
