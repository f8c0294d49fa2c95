"""Syntax tree to Python closures.

Every part of an expression becomes a `Code`: a function of the evaluation and the focus, and the types its
results can have as far as the definitions tell. Types known beforehand find mistakes in names, leave out
branches for other resource types, and narrow a choice to one JSON member.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from schakel.fhir.fhirpath import operators
from schakel.fhir.fhirpath.code import BOOLEAN, NOTHING, Code, Types
from schakel.fhir.fhirpath.conversion import CONVERSIONS
from schakel.fhir.fhirpath.lexer import refuse
from schakel.fhir.fhirpath.logic import connective, equality, equals_text, union
from schakel.fhir.fhirpath.model import Model, Step
from schakel.fhir.fhirpath.nodes import EMPTY, FALSE, Evaluation, Node, Nodes, boolean, metered, single
from schakel.fhir.fhirpath.references import resolve, target_type
from schakel.fhir.fhirpath.registry import FUNCTIONS, evaluation_of_truth
from schakel.fhir.fhirpath.special import SPECIAL
from schakel.fhir.fhirpath.syntax import Binary, Call, Expr, Index, Literal, Member, TypeTest, Unary, Variable
from schakel.fhir.fhirpath.values import PRIMITIVES
from schakel.fhir.fhirpath.variables import variable
from schakel.fhir.regex import compiled
from schakel.kernel.outcomes import Invalid, NotSupported

_NOT_SUPPORTED = frozenset({"elementDefinition", "slice"})
MAX_PARTS = 50_000
"""Most parts of an expression, each counted once for every type of focus it is compiled for."""

_DRAFT = {f"is{kind}": f"convertsTo{kind}" for kind in (*CONVERSIONS, "Quantity")} | {
    "htmlchecks": "htmlChecks"
}
"""Functions by their names in the drafts that STU3 was written with."""


def _focus(evaluation: Evaluation, focus: Nodes) -> Nodes:
    return focus


class Compiler:
    """Compiles one expression. `lenient` is told at `compile_expression`; `metered` code counts its steps."""

    def __init__(self, text: str, model: Model, lenient: bool, metered: bool = False) -> None:
        self.text = text
        self.model = model
        self.lenient = lenient
        self._metered = metered
        self._done: dict[tuple[int, Types], Code] = {}

    def compile(self, tree: Expr, focus: Types) -> Code:
        """Code of `tree` for a focus of these types. Raises `Invalid` and `NotSupported`."""
        code = self._done.get((id(tree), focus))
        if code is None:
            code = self._compile(tree, focus)
            if self._metered:
                code = Code(metered(code.run), code.types)
            self._done[id(tree), focus] = code
            if len(self._done) > MAX_PARTS:
                self.fail(tree.at, f"the expression has more than {MAX_PARTS} parts")
        return code

    def _compile(self, tree: Expr, focus: Types) -> Code:
        match tree:
            case Literal():
                return self._literal(tree)
            case Member(base=None):
                return self._leading(tree, focus)
            case Member():
                return self._member(tree, self.base(tree.base, focus))
            case TypeTest(operator="is"):
                return self._is(tree, focus)
            case TypeTest():
                return self._as(tree, focus)
            case Call():
                return self._call(tree, focus)
            case Variable():
                return self._variable(tree, focus)
            case Index():
                return self._index(tree, focus)
            case Unary():
                return self._unary(tree, focus)
            case Binary():
                return self._binary(tree, focus)

    def base(self, tree: Expr | None, focus: Types) -> Code:
        """What stands before the dot; the focus when nothing does."""
        return Code(_focus, focus) if tree is None else self.compile(tree, focus)

    def fail(self, at: int, problem: str) -> NoReturn:
        """Refuse the expression for what stands at offset `at`."""
        raise refuse(self.text, at, problem)

    def truth(self, nodes: Nodes) -> bool | None:
        """`nodes` in a boolean place."""
        return evaluation_of_truth(nodes, self.lenient)

    # --- paths ---------------------------------------------------------------------------------------------

    def _literal(self, tree: Literal) -> Code:
        if not tree.type:
            return NOTHING
        constant = [Node(tree.value, tree.type)]
        return Code(lambda evaluation, focus: constant, frozenset({tree.type}))

    def _leading(self, tree: Member, focus: Types) -> Code:
        """A name at the start: an element of the focus, or the type that the focus must have."""
        name = tree.name
        element = self.model.child_types(focus, name) if focus else None
        if element is None and name[:1].isupper() and (self.model.has(name) or self.lenient or focus is None):
            if not self.model.typed:
                return self._type_or_member(tree)
            return self._only_type(tree, focus)
        return self._member(tree, Code(_focus, focus))

    def _type_or_member(self, tree: Member) -> Code:
        """Without definitions: the focus when it is a resource of that type, else its members of that name."""
        name, step = tree.name, Step(self.model, tree.name)

        def run(evaluation: Evaluation, focus: Nodes) -> Nodes:
            return focus if len(focus) == 1 and focus[0].type == name else step(evaluation, focus)

        return Code(run)

    def _only_type(self, tree: Member, focus: Types) -> Code:
        name, model = tree.name, self.model
        known = model.has(name)
        types: Types = frozenset({name}) if known and not model.is_open(name) else None
        if focus is not None:
            kept = frozenset(t for t in focus if model.is_a(t, name))
            if not kept and not any(model.is_a(name, t) for t in focus):
                return NOTHING
            types = kept or types

        def filtered(evaluation: Evaluation, focus: Nodes) -> Nodes:
            if len(focus) == 1:
                node = focus[0]
                if (
                    node.type == name
                    or model.is_a(node.type, name)
                    or (not known and _calls_itself(node, name))
                ):
                    return focus
            return [n for n in focus if model.is_a(n.type, name)] if len(focus) > 1 else EMPTY

        return Code(filtered, types)

    def _member(self, tree: Member, base: Code, only: tuple[str, ...] = ()) -> Code:
        types = base.types
        if types is not None and not types:
            return NOTHING
        if not self.model.typed:
            types = None
        found: Types = None
        if types is not None:
            found = self.model.child_types(types, tree.name)
            if found is None:
                if self.lenient:
                    return NOTHING
                self.fail(tree.at, self._no_element(tree.name, types))
            if only:
                found = frozenset(t for t in found if self.model.matches(t, only))
            elif any(map(self.model.is_open, found)):
                found = None
        step = Step(self.model, tree.name, only)
        before = base.run
        if before is _focus:
            return Code(step, found)
        return Code(lambda evaluation, focus: step(evaluation, before(evaluation, focus)), found)

    def _no_element(self, name: str, types: frozenset[str]) -> str:
        if len(types) > 3:
            return f"none of the {len(types)} types that are possible here has an element {name!r}"
        owner = " or ".join(sorted(types))
        names = sorted({n for t in types if t in self.model.types for n in self._elements(t)})
        for type in types:
            if name in self.model.slots(type):
                choice = next(n for n in sorted(names, key=len, reverse=True) if name.startswith(n))
                return f"{owner} has no element {name!r}; write {choice}.ofType(...)"
        expected = f"; it has {', '.join(names)}" if 0 < len(names) <= 40 else ""
        return f"{owner} has no element {name!r}{expected}"

    def _elements(self, type: str) -> list[str]:
        return list(self.model.types[type].elements)

    def _index(self, tree: Index, focus: Types) -> Code:
        base, index = self.compile(tree.base, focus), self.compile(tree.index, focus)
        before, position = base.run, index.run

        def item(evaluation: Evaluation, focus: Nodes) -> Nodes:
            node = single(position(evaluation, focus), "an index")
            if node is None:
                return EMPTY
            if not isinstance(node.value, int) or isinstance(node.value, bool):
                raise Invalid("FHIRPath: an index is an integer", code="fhirpath-wrong-type")
            nodes = before(evaluation, focus)
            return [nodes[node.value]] if 0 <= node.value < len(nodes) else EMPTY

        return Code(item, base.types)

    def _variable(self, tree: Variable, focus: Types) -> Code:
        if tree.name == "$this":
            return Code(_focus, focus)
        if tree.name == "$index":
            return Code(lambda evaluation, focus: [Node(evaluation.index, "System.Integer")])
        if tree.name == "$total":
            return Code(lambda evaluation, focus: evaluation.total)
        return Code(variable(self.model, tree.name))

    # --- types ---------------------------------------------------------------------------------------------

    def _wanted(self, name: str) -> tuple[str, ...]:
        """The types of a specifier; none for an unknown one when lenient."""
        try:
            return self.model.named_type(name)
        except Invalid:
            if self.lenient:
                return ()
            raise

    def _is(self, tree: TypeTest, focus: Types) -> Code:
        wanted, model, lenient = self._wanted(tree.type), self.model, self.lenient
        answers: dict[str, bool] = {}

        def matches(type: str) -> bool:
            answer = answers.get(type)
            if answer is None:
                answer = answers[type] = model.matches(type, wanted)
            return answer

        if isinstance(tree.base, Call) and tree.base.name == "resolve" and not tree.base.arguments:
            return self._refers_to(tree.base, matches, focus)
        before = self.base(tree.base, focus).run

        def test(evaluation: Evaluation, focus: Nodes) -> Nodes:
            nodes = before(evaluation, focus)
            if not nodes:
                return EMPTY
            if len(nodes) > 1:
                if lenient:
                    return FALSE
                single(nodes, "'is'")
            return boolean(matches(nodes[0].type))

        return Code(test, BOOLEAN)

    def _refers_to(self, call: Call, matches: Callable[[str], bool], focus: Types) -> Code:
        """`resolve() is Type`, answered from the reference where it names its type."""
        before, model = self.base(call.base, focus).run, self.model

        def test(evaluation: Evaluation, focus: Nodes) -> Nodes:
            node = single(before(evaluation, focus), "'resolve() is'")
            type = None if node is None else target_type(model, evaluation, node)
            return EMPTY if type is None else boolean(matches(type))

        return Code(test, BOOLEAN)

    def _as(self, tree: TypeTest, focus: Types) -> Code:
        """`as` and `ofType`: a filter, also over several items, as the search parameters of FHIR need."""
        wanted, model = self._wanted(tree.type), self.model
        if isinstance(tree.base, Member):
            narrowed = self._narrowed(tree.base, wanted, focus)
            if narrowed is not None:
                return narrowed
        base = self.base(tree.base, focus)
        before, types = base.run, base.types
        if types is not None:
            types = frozenset(t for t in types if model.matches(t, wanted)) or self._below(types, wanted)
        elif wanted and not any(model.is_open(w) for w in wanted):
            types = frozenset(wanted)

        def filtered(evaluation: Evaluation, focus: Nodes) -> Nodes:
            return [node for node in before(evaluation, focus) if model.matches(node.type, wanted)]

        return Code(filtered, types)

    def _below(self, types: frozenset[str], wanted: tuple[str, ...]) -> frozenset[str]:
        """The wanted types that values of these static types could turn out to be."""
        return frozenset(w for w in wanted for t in types if self.model.is_a(w, t))

    def _narrowed(self, member: Member, wanted: tuple[str, ...], focus: Types) -> Code | None:
        """A choice element taken as one type: just that JSON member."""
        base = self.base(member.base, focus)
        if not base.types or not wanted or base.types & PRIMITIVES:
            return None
        found = self.model.child_types(base.types, member.name)
        if found is None or len(found) < 2 or any(map(self.model.is_open, found)):
            return None
        return self._member(member, base, wanted)

    # --- calls ---------------------------------------------------------------------------------------------

    def _call(self, tree: Call, focus: Types) -> Code:
        name, count = tree.name, len(tree.arguments)
        special = SPECIAL.get(name)
        if special is not None:
            if not special.least <= count <= special.most:
                self.fail(tree.at, _wrong_count(name, special.least, special.most, count))
            return special.build(self, tree, focus)
        if name == "resolve" and not count:
            return self._resolve(tree, focus)
        if self.model.draft:
            name = _DRAFT.get(name, name)
        function = FUNCTIONS.get("matchesFull" if name == "matches" and self.lenient else name)
        if function is None:
            if name in _NOT_SUPPORTED:
                raise NotSupported(
                    f"FHIRPath: the function {name}() is not supported here", code="fhirpath-not-supported"
                )
            self.fail(tree.at, f"there is no function {name}()")
        if not function.least <= count <= function.most:
            self.fail(tree.at, _wrong_count(name, function.least, function.most, count))
        base = self.base(tree.base, focus)
        before, body = base.run, function.body
        types = (
            base.types
            if function.result == "same"
            else frozenset({function.result})
            if function.result
            else None
        )
        if name in ("matches", "matchesFull", "replaceMatches"):
            self._check_pattern(tree.arguments[0])
        arguments = [self.compile(argument, focus).run for argument in tree.arguments]
        if not arguments:
            return Code(lambda evaluation, focus: body(evaluation, before(evaluation, focus)), types)
        if len(arguments) == 1:
            only = arguments[0]
            return Code(
                lambda evaluation, focus: body(
                    evaluation, before(evaluation, focus), only(evaluation, focus)
                ),
                types,
            )
        return Code(
            lambda evaluation, focus: body(
                evaluation, before(evaluation, focus), *[run(evaluation, focus) for run in arguments]
            ),
            types,
        )

    def _check_pattern(self, argument: Expr) -> None:
        """Refuse a regular expression that is written out and cannot run."""
        if isinstance(argument, Literal) and argument.type == "System.String":
            try:
                compiled(str(argument.value))
            except Invalid as error:
                self.fail(argument.at, error.message)

    def _resolve(self, tree: Call, focus: Types) -> Code:
        before, model = self.base(tree.base, focus).run, self.model
        return Code(lambda evaluation, focus: resolve(model, evaluation, before(evaluation, focus)))

    # --- operators -----------------------------------------------------------------------------------------

    def _unary(self, tree: Unary, focus: Types) -> Code:
        operand = self.compile(tree.operand, focus)
        run = operand.run
        body = operators.negative if tree.operator == "-" else operators.positive
        return Code(lambda evaluation, focus: body(run(evaluation, focus)), operand.types)

    def _binary(self, tree: Binary, focus: Types) -> Code:
        operator = tree.operator
        if operator == "|":
            return self._union(tree, focus)
        if operator in ("and", "or", "xor", "implies"):
            return self._logic(tree, focus)
        left, right = self.compile(tree.left, focus).run, self.compile(tree.right, focus).run
        if operator in ("=", "!="):
            if isinstance(tree.right, Literal) and tree.right.type == "System.String":
                return Code(equals_text(left, str(tree.right.value), operator == "="), BOOLEAN)
            return Code(equality(left, right, operator == "="), BOOLEAN)
        if operator in ("~", "!~"):
            wanted = operator == "~"
            return Code(
                lambda evaluation, focus: boolean(
                    operators.equivalence(evaluation, left(evaluation, focus), right(evaluation, focus))
                    is wanted
                ),
                BOOLEAN,
            )
        if operator in ("in", "contains"):
            among = operators.is_in if operator == "in" else operators.contains
            return Code(
                lambda evaluation, focus: among(
                    evaluation, left(evaluation, focus), right(evaluation, focus)
                ),
                BOOLEAN,
            )
        types: Types = None
        if operator in ("<", "<=", ">", ">="):
            body, types = operators.comparison(operator), BOOLEAN
        elif operator == "&":
            body, types = operators.concatenate, frozenset({"System.String"})
        else:
            body = operators.arithmetic(operator)
        return Code(lambda evaluation, focus: body(left(evaluation, focus), right(evaluation, focus)), types)

    def _union(self, tree: Binary, focus: Types) -> Code:
        """All operands of a chain of `|` at once; those that cannot give anything are left out."""
        operands: list[Expr] = []
        rest: Expr = tree
        while isinstance(rest, Binary) and rest.operator == "|":
            operands.append(rest.right)
            rest = rest.left
        codes = [self.compile(operand, focus) for operand in (rest, *reversed(operands))]
        kept = [code for code in codes if code.types is None or code.types]
        if not kept:
            return NOTHING
        types: Types = frozenset()
        for code in kept:
            types = None if types is None or code.types is None else types | code.types
        return Code(union([code.run for code in kept]), types)

    def _logic(self, tree: Binary, focus: Types) -> Code:
        left, right = self.compile(tree.left, focus).run, self.compile(tree.right, focus).run
        return Code(connective(tree.operator, left, right, self.truth), BOOLEAN)


def _calls_itself(node: Node, name: str) -> bool:
    return isinstance(node.value, dict) and node.value.get("resourceType") == name


def _wrong_count(name: str, least: int, most: int, count: int) -> str:
    expected = str(least) if least == most else f"{least} to {most}"
    return f"{name}() takes {expected} argument{'' if expected == '1' else 's'}, not {count}"
