"""The addresses of the PRS."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Invalid
from schakel_national import configuration, minvws
from schakel_national.prs.administration import Administration
from schakel_national.prs.register import Key, Organisation, Register, read_register
from schakel_national.prs.requests import (
    Evaluate,
    EvaluateGuide,
    EvaluateOld,
    Exchange,
    ExchangeRid,
    MakeOrganisation,
    Receive,
    Unreadable,
    body_of,
    is_oin,
    point_of,
)
from schakel_national.prs.secrets import Evaluator, Pseudonymiser, kept_secret, sealed
from schakel_national.prs.telling import FORWARDED, Refused, url_text

NAME = "prs"
_VERSION = {"new": "v0.0.33", "old": "v0.0.21"}
_ALGORITHMS = {"new": "RSA-OAEP", "old": "RSA-OAEP-256"}
