"""Mitz: the register in which patients choose who may see their data.

`Mitz` asks the closed question (`ClosedQuestion`: may this holder release?) and the open one (`OpenQuestion`: which
holders may?) over SOAP, and asks to be told of changes; `choices_in` reads what it then tells us.

Source: handbook "Open en gesloten autorisatievraag" 3.8.2, and the pages on subscriptions and notifications.
"""

from schakel.generic.consent.mitz.answer import Decision
from schakel.generic.consent.mitz.asking import Lacking, asking
from schakel.generic.consent.mitz.client import ClosedAnswer, Mitz, SubscriptionRequest
from schakel.generic.consent.mitz.open_question import OpenQuestion, PermittedHolder
from schakel.generic.consent.mitz.question import ClosedQuestion
from schakel.generic.consent.mitz.request import Signing
from schakel.generic.consent.mitz.soap import AnswerUnusable

__all__ = [
    "AnswerUnusable",
    "ClosedAnswer",
    "ClosedQuestion",
    "Decision",
    "Lacking",
    "Mitz",
    "OpenQuestion",
    "PermittedHolder",
    "Signing",
    "SubscriptionRequest",
    "asking",
]
