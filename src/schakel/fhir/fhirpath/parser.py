"""Tokens to syntax tree (FHIRPath N1 2.0, appendix "Formal Specification": grammar and precedence)."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from schakel.fhir.fhirpath.dates import Temporal
from schakel.fhir.fhirpath.lexer import Token, refuse, tokens
from schakel.fhir.fhirpath.syntax import Binary, Call, Expr, Index, Literal, Member, TypeTest, Unary, Variable
from schakel.fhir.fhirpath.units import CALENDAR_UNITS, Quantity

MAX_DEPTH = 120
"""How deep operands and arguments may nest; it bounds the Python stack, also when the result runs."""

MAX_DIGITS = 128
"""Longest number that is written out, in characters; as long as in JSON."""

_REMEMBERED = 2_000  # characters of an expression of which the tree is kept

# Operator to its strength; the tree is left-associative throughout.
_STRENGTH = {
    "implies": 1,
    "or": 2,
    "xor": 2,
    "and": 3,
    "in": 4,
    "contains": 4,
    "=": 5,
    "~": 5,
    "!=": 5,
    "!~": 5,
    "<": 6,
    ">": 6,
    "<=": 6,
    ">=": 6,
    "|": 7,
    "is": 8,
    "as": 8,
    "+": 9,
    "-": 9,
    "&": 9,
    "*": 10,
    "/": 10,
    "div": 10,
    "mod": 10,
}
_POLARITY = 11
_NOT_A_NAME = frozenset({"div", "mod", "and", "or", "xor", "implies", "true", "false"})


def parse(expression: str) -> Expr:
    """The tree of `expression`. Raises `Invalid` with the position and what was expected there."""
    return _remembered(expression) if len(expression) <= _REMEMBERED else _Parser(expression).whole()


@lru_cache(maxsize=4096)
def _remembered(expression: str) -> Expr:
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._text = expression
        self._tokens = tokens(expression)
        self._next = 0
        self._depth = 0

    def whole(self) -> Expr:
        tree = self._operation(0)
        if self._peek.kind != "end":
            raise self._unexpected("an operator or the end")
        return tree

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _unexpected(self, expected: str) -> Exception:
        return refuse(self._text, self._peek.at, f"{expected} was expected, not {self._peek}")

    def _expect(self, symbol: str) -> None:
        if not self._is_symbol(symbol):
            raise self._unexpected(f"'{symbol}'")
        self._next += 1

    def _is_symbol(self, symbol: str) -> bool:
        token = self._peek
        return token.kind == "symbol" and token.text == symbol

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise refuse(self._text, self._peek.at, f"the expression nests deeper than {MAX_DEPTH} levels")

    def _operation(self, floor: int) -> Expr:
        """An expression whose operators are all stronger than `floor`."""
        depth = self._depth
        self._deeper()
        left = self._unary()
        while True:
            token = self._peek
            strength = _STRENGTH.get(token.text, 0) if token.kind in ("symbol", "name") else 0
            if strength <= floor:
                break
            self._take()
            self._deeper()  # a chain of operators makes a tree that leans to the left
            if strength == 8:
                left = TypeTest(token.at, token.text, left, self._type_name())
            else:
                left = Binary(token.at, token.text, left, self._operation(strength))
        self._depth = depth
        return left

    def _unary(self) -> Expr:
        token = self._peek
        if token.kind == "symbol" and token.text in "+-":
            self._take()
            return Unary(token.at, token.text, self._operation(_POLARITY - 1))
        return self._invocations()

    def _invocations(self) -> Expr:
        tree = self._term()
        while True:
            if self._is_symbol("."):
                self._take()
                self._deeper()
                if self._is_symbol("$"):
                    raise self._unexpected("a name")
                tree = self._invocation(tree)
            elif self._is_symbol("["):
                at = self._take().at
                self._deeper()
                tree = Index(at, tree, self._operation(0))
                self._expect("]")
            else:
                return tree

    def _invocation(self, base: Expr | None) -> Expr:
        token = self._peek
        if token.kind not in ("name", "quoted"):
            raise self._unexpected("a name")
        self._take()
        if not self._is_symbol("("):
            return Member(token.at, base, token.text)
        self._take()
        if token.text in ("is", "as", "ofType"):
            name = self._type_name()
            self._expect(")")
            return TypeTest(token.at, token.text, base, name)
        arguments: list[Expr] = []
        if not self._is_symbol(")"):
            arguments.append(self._operation(0))
            while self._is_symbol(","):
                self._take()
                arguments.append(self._operation(0))
        self._expect(")")
        return Call(token.at, base, token.text, tuple(arguments))

    def _term(self) -> Expr:
        token = self._peek
        if token.kind == "symbol":
            return self._symbol_term(token)
        if token.kind == "string":
            self._take()
            return Literal(token.at, "System.String", token.text)
        if token.kind == "number":
            return self._number()
        if token.kind == "date":
            self._take()
            return self._temporal(token)
        if token.kind == "name" and token.text in ("true", "false"):
            self._take()
            return Literal(token.at, "System.Boolean", token.text == "true")
        if token.kind == "quoted" or (token.kind == "name" and token.text not in _NOT_A_NAME):
            return self._invocation(None)
        raise self._unexpected("an operand (a name, a value or '(')")

    def _symbol_term(self, token: Token) -> Expr:
        if token.text == "(":
            self._take()
            tree = self._operation(0)
            self._expect(")")
            return tree
        if token.text == "{":
            self._take()
            self._expect("}")
            return Literal(token.at, "", None)
        if token.text in "%$":
            self._take()
            name = self._peek
            allowed = ("name",) if token.text == "$" else ("name", "quoted", "string")
            if name.kind not in allowed or (
                token.text == "$" and name.text not in ("this", "index", "total")
            ):
                raise self._unexpected("'this', 'index' or 'total'" if token.text == "$" else "a name")
            self._take()
            return Variable(token.at, ("$" if token.text == "$" else "") + name.text)
        raise self._unexpected("an operand (a name, a value or '(')")

    def _number(self) -> Expr:
        token = self._take()
        if len(token.text) > MAX_DIGITS:
            raise refuse(self._text, token.at, f"a number is at most {MAX_DIGITS} characters")
        number = Decimal(token.text)
        unit = self._peek
        if unit.kind == "string":
            self._take()
            return Literal(token.at, "System.Quantity", Quantity(number, unit.text))
        if unit.kind == "name" and unit.text in CALENDAR_UNITS:
            self._take()
            return Literal(
                token.at, "System.Quantity", Quantity(number, CALENDAR_UNITS[unit.text], calendar=True)
            )
        if "." in token.text:
            return Literal(token.at, "System.Decimal", number)
        if int(token.text) > 2**31:
            raise refuse(self._text, token.at, "an integer is at most 2147483647")
        return Literal(token.at, "System.Integer", int(token.text))

    def _temporal(self, token: Token) -> Expr:
        text = token.text[1:]
        kind = "System.Time" if text[0] == "T" else "System.DateTime" if "T" in text else "System.Date"
        text = text.removeprefix("T").removesuffix("T")
        if Temporal.parse(text, kind) is None:
            raise refuse(self._text, token.at, f"{token.text} is not a date or time that exists")
        return Literal(token.at, kind, text)

    def _type_name(self) -> str:
        """A type specifier: a name, or a namespace and a name."""
        if self._peek.kind not in ("name", "quoted"):
            raise self._unexpected("the name of a type")
        name = self._take().text
        if name in ("System", "FHIR") and self._is_symbol("."):
            self._take()
            if self._peek.kind not in ("name", "quoted"):
                raise self._unexpected("the name of a type")
            name += "." + self._take().text
        return name
