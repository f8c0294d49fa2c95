"""Mitz: the register in which patients choose who may see their data.

`Mitz` asks the closed question (`ClosedQuestion`) over SOAP, and asks to be told of changes; `choices_in` reads what it
then tells us.

Source: handbook "Open en gesloten autorisatievraag" 3.8.2, and the pages on subscriptions and notifications.
"""

from schakel.generic.consent.mitz.answer import AnswerUnusable, Decision
from schakel.generic.consent.mitz.client import ClosedAnswer, Mitz, SubscriptionRequest
from schakel.generic.consent.mitz.question import ClosedQuestion
from schakel.generic.consent.mitz.request import Signing

__all__ = [
    "AnswerUnusable",
    "ClosedAnswer",
    "ClosedQuestion",
    "Decision",
    "Mitz",
    "Signing",
    "SubscriptionRequest",
]
