"""The syntax tree of a FHIRPath expression. `at` is the offset of the node in the text, for messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: `type` is a system type (`System.String`), `value` as in `nodes.Node`; `{}` has no type."""

    at: int
    type: str
    value: object


@dataclass(frozen=True, slots=True)
class Variable:
    """`%name`, or one of `$this`, `$index` and `$total` (the name then begins with `$`)."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A step to the children called `name`; without `base` it starts at the focus."""

    at: int
    base: Expr | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function on `base` (the focus when None)."""

    at: int
    base: Expr | None
    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`."""

    at: int
    base: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Unary:
    """`+` or `-` before an operand."""

    at: int
    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and the operator between them."""

    at: int
    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`base is T` or `base as T`, in either spelling; `operator` is `is` or `as` or `ofType`."""

    at: int
    operator: str
    base: Expr | None
    type: str


Expr = Literal | Variable | Member | Call | Index | Unary | Binary | TypeTest
