"""How a command ends: its exit code, and what is said of what stopped it.

Imported at every start, so that nothing heavy may be imported here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from schakel.kernel.outcomes import Invalid, NotSupported, Outcome


class CommandGroup(TyperGroup):
    """Commands return their exit code; an outcome becomes a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BaseExceptionGroup as group:
            raise _exit_of(_first(group)) from group
        except BrokenPipeError:
            # Whoever read our output has left, such as `head`; nothing is wrong and nothing is left to say.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (Outcome, OSError) as error:
            raise _exit_of(error) from error
        if code:
            raise typer.Exit(code)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _exit_of(error: BaseException) -> BaseException:
    """Says what is wrong; the exit that goes with it. A fault of our own comes back as it is."""
    if isinstance(error, Outcome):
        print(f"schakel: {error.message}", file=sys.stderr)
        return typer.Exit(2 if isinstance(error, Invalid | NotSupported) else 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print(f"schakel: {where}{error.strerror or error}", file=sys.stderr)
        return typer.Exit(1)
    return error
