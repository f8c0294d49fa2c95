"""Where a question of consent is answered: the grounds that could suffice, one after the other.

The order is the rule:

1. an objection that the organisation recorded refuses, whatever stands beside it;
2. a task, or a ground that the organisation recorded for a referral, a handover or at the patient's own request;
3. a general ground that it recorded, unless the patient said no in Mitz;
4. the patient's choice in Mitz, asked now;
5. the opt-out regime for acute care, when the organisation has it on and no objection is known, in Mitz neither;
6. an emergency, when the organisation has a written policy for it, and no objection is known unless that policy names
   the case.

Only kinds that the question accepts are tried. What could not be checked is never a permission.

Source: handbook of Mitz 3.8.2 (an explicit Permit for every category); Wabvpz article 15a (express permission);
BW 7:457 and 7:466 (referral, emergency).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schakel.facilities import FacilityAway
from schakel.generic.consent.choices import Choices, refused
from schakel.generic.consent.emergency import Emergencies, EmergencyPolicy
from schakel.generic.consent.grounds import Grounds
from schakel.generic.consent.mitz import ClosedAnswer, ClosedQuestion, Lacking, Mitz, asking
from schakel.generic.consent.model import ConsentQuestion, ConsentRefused, GroundKind, Permission
from schakel.generic.consent.objections import MAX_TEXT
from schakel.generic.consent.once import Once
from schakel.generic.consent.organisations import Categories, provider_category
from schakel.generic.consent.standing import Standing, Standings
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid

_REPEATS = 3
"""How often Mitz is asked again when a notice came in between."""

Answers = Once[tuple[str, int, ClosedQuestion], ClosedAnswer]

Witness = Callable[[ConsentQuestion, ClosedQuestion, ClosedAnswer | None], Awaitable[None]]
"""Is told of each question that went to Mitz, before its answer counts; None when no usable answer came."""


@dataclass(frozen=True, slots=True)
class AcutePolicy:
    """The opt-out regime for acute care: for these purposes of use, and requesters of these types."""

    purposes: frozenset[str]
    requester_types: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Said:
    """What Mitz was found to say: an answer, or why there is none (`refusal`, `away`)."""

    answer: ClosedAnswer | None = None
    refusal: ConsentRefused | None = None
    away: FacilityAway | None = None


class ConsentDesk:
    """The desk of the organisation `ura`, of type `type_code`. Without `mitz`, `acute` or `emergency` those kinds of
    ground are not there."""

    def __init__(
        self,
        *,
        ura: str,
        type_code: str,
        standings: Standings,
        grounds: Grounds,
        choices: Choices,
        emergencies: Emergencies,
        categories: Categories,
        mitz: Mitz | None = None,
        answers: Answers | None = None,
        acute: AcutePolicy | None = None,
        emergency: EmergencyPolicy | None = None,
        witness: Witness | None = None,
    ) -> None:
        if acute is not None and mitz is None:
            raise Invalid(
                f"the opt-out regime for acute care of {ura} needs Mitz (setting mitz.base): "
                "without it, nobody can know who objected"
            )
        self._ura = ura
        self._type_code = type_code
        self._standings = standings
        self._grounds = grounds
        self._choices = choices
        self._emergencies = emergencies
        self._categories = categories
        self._mitz = mitz
        self._answers: Answers = Once() if answers is None else answers
        self._acute = acute
        self._emergency = emergency
        self._witness = witness

    @property
    def emergency(self) -> EmergencyPolicy | None:
        """What the organisation decided about emergencies, None when it has no policy."""
        return self._emergency

    async def permit(self, question: ConsentQuestion) -> Permission:
        """Why the requester may have it.

        Raises `ConsentRefused` with the reason when nothing permits it, and `FacilityAway` when only what could not be
        checked might have.
        """
        providers = provider_category(question.requester_type)
        categories = self._known_categories()
        standing = await self._standings.of(question, providers, categories)
        if standing.objection:
            refusal = ConsentRefused("objection", "the patient objected, as the organisation recorded")
            return await self._in_emergency(question, refusal, f"objection {standing.objection}")
        told_no = refused(standing.choices, categories, providers)
        if (found := _recorded(question, standing, told_no)) is not None:
            return found
        said = _Said()
        if self._must_ask(question):
            said = await self._said(question, standing)
            if said.answer is not None and said.answer.decision == "Permit" and "mitz" in question.accepted:
                return _by_mitz(said.answer)
        denied = said.answer is not None and said.answer.decision == "Deny"
        permitted = said.answer is not None and said.answer.decision == "Permit"
        objected = denied or (told_no and not permitted)
        if not objected and said.answer is not None and self._acute_applies(question):
            return _acute(said.answer)
        if objected:
            refusal = ConsentRefused("mitz-deny", "the patient gave no permission in Mitz")
            return await self._in_emergency(question, refusal, "no in Mitz")
        return await self._in_emergency(question, await self._why_not(question, said), "", said)

    def _known_categories(self) -> tuple[str, ...]:
        """The categories of data of this holder, none when its type has no row: then Mitz cannot be asked either."""
        try:
            return self._categories.of(self._type_code)
        except ConsentRefused:
            return ()

    def _must_ask(self, question: ConsentQuestion) -> bool:
        """Whether the answer of Mitz matters: as a ground, or because it may be an objection to another."""
        policy = self._emergency
        unless_objected = self._wanted_in_emergency(question) and policy and not policy.overrides_objection
        return "mitz" in question.accepted or self._acute_applies(question) or bool(unless_objected)

    # -- Mitz --------------------------------------------------------------------------------------------------

    async def _said(self, question: ConsentQuestion, standing: Standing) -> _Said:
        try:
            return _Said(await self._asked(question, standing.version))
        except ConsentRefused as refusal:
            return _Said(refusal=refusal)
        except FacilityAway as away:
            return _Said(away=away)

    async def _asked(self, question: ConsentQuestion, version: int) -> ClosedAnswer:
        """The answer of Mitz, asked after the last notice about this patient that any process has committed."""
        mitz = self._mitz
        if mitz is None:
            raise ConsentRefused("mitz-off", "this node does not ask Mitz (setting mitz.base)")
        closed = self._closed(question)
        for _ in range(_REPEATS):
            key = (question.token, version, closed)
            if (kept := self._answers.kept(key)) is not None:
                return kept
            answer = await self._answers.get(key, lambda: self._ask(mitz, question, closed))
            after = await self._choices.version(question.patient)
            if after == version:
                return answer
            version = after
        raise FacilityAway("Mitz", "the patient's choices go on changing")

    async def _ask(self, mitz: Mitz, question: ConsentQuestion, closed: ClosedQuestion) -> ClosedAnswer:
        """One question to Mitz, of which the witness is told whatever came of it."""
        try:
            answer = await mitz.ask(closed)
        except FacilityAway:
            await self._told(question, closed, None)
            raise
        await self._told(question, closed, answer)
        return answer

    async def _told(
        self, question: ConsentQuestion, closed: ClosedQuestion, answer: ClosedAnswer | None
    ) -> None:
        if self._witness is not None:
            await self._witness(question, closed, answer)

    def _closed(self, question: ConsentQuestion) -> ClosedQuestion:
        """The question as Mitz takes it. Raises `ConsentRefused`, naming what is missing."""
        try:
            who = asking(
                question.user_id,
                question.user_role,
                question.responsible,
                question.responsible_role,
                question.purpose,
                question.requester_type,
            )
        except Lacking as lacking:
            raise _cannot_ask(lacking.part, lacking.what) from None
        return ClosedQuestion(
            patient=question.patient,
            holder=self._ura,
            holder_type=self._type_code,
            categories=self._categories.of(self._type_code),
            requester=question.requester,
            requester_type=question.requester_type,
            provider=who.provider,
            role=who.role,
            mandated=who.mandated,
            purpose=who.purpose,
        )

    # -- acute care, and emergencies ---------------------------------------------------------------------------

    def _acute_applies(self, question: ConsentQuestion) -> bool:
        return (
            self._acute is not None
            and "acute" in question.accepted
            and question.purpose in self._acute.purposes
            and question.requester_type in self._acute.requester_types
        )

    def _wanted_in_emergency(self, question: ConsentQuestion) -> bool:
        return self._emergency is not None and "break-glass" in question.accepted and bool(question.emergency)

    async def _in_emergency(
        self,
        question: ConsentQuestion,
        refusal: ConsentRefused,
        objection: str,
        said: _Said | None = None,
    ) -> Permission:
        """Access in an emergency, when that was asked and may be; else `refusal`, or that it could not be checked.

        What could not be checked may be an objection: only a policy that overrides objections goes over it.
        """
        away = said.away if said is not None else None
        policy = self._emergency
        if policy is None or not self._wanted_in_emergency(question):
            raise away or refusal
        reason = question.emergency.strip()
        if not reason or len(reason) > MAX_TEXT or not reason.isprintable():
            raise ConsentRefused(
                "break-glass-reason", f"an emergency needs a reason of 1 to {MAX_TEXT} printable characters"
            )
        if question.assurance not in policy.levels:
            raise ConsentRefused(
                "break-glass-assurance", "an emergency needs a user who proved who they are at the high level"
            )
        if not question.user_id:
            raise ConsentRefused("break-glass-user", "an emergency needs a professional who asks")
        if not policy.overrides_objection:
            if objection:
                raise refusal
            if away is not None:
                raise away
            if said is not None and said.refusal is not None and said.refusal.reason != "mitz-off":
                raise said.refusal
        rejected = await self._emergencies.rejected(question, policy)
        if (
            rejected
            or (case := await self._emergencies.open(question, reason, policy, objection)).accepted is False
        ):
            raise ConsentRefused("break-glass-rejected", "the holder's officer did not accept this emergency")
        return Permission(
            "break-glass",
            case.id,
            "policy",
            f"an emergency, under {policy.named}; the holder's officer looks at it by {case.due:%Y-%m-%d %H:%M} UTC",
            case.made,
        )

    async def _why_not(self, question: ConsentQuestion, said: _Said) -> ConsentRefused:
        """The most telling reason: what Mitz said, what kept us from asking, or what is wrong with the grounds."""
        if said.answer is not None:
            return ConsentRefused("mitz-no-choice", "the patient has made no choice in Mitz that applies")
        if said.refusal is not None and said.refusal.reason != "mitz-off":
            return said.refusal
        if question.accepted.isdisjoint({"recorded", "referral", "handover", "patient"}):
            return said.refusal or ConsentRefused("no-ground", "no ground that could suffice is there")
        reason = await self._grounds.explain(
            question.requester, question.patient, question.exchange, question.form
        )
        return ConsentRefused(reason, _EXPLAINED[reason])


_EXPLAINED = {
    "no-ground": "no ground covers this request",
    "ground-ended": "the ground that covered this request was withdrawn",
    "ground-expired": "the ground that covered this request is past its term",
}

_WORDS: dict[GroundKind, str] = {
    "recorded": "a ground that the organisation recorded",
    "referral": "a referral",
    "handover": "a handover",
    "patient": "the patient's own request",
}


def _recorded(question: ConsentQuestion, standing: Standing, told_no: bool) -> Permission | None:
    """A task or a ground of the organisation; a general ground does not go over a no in Mitz."""
    if question.task and question.task_kind and question.task_kind in question.accepted:
        return Permission(question.task_kind, question.task, "grounds", _WORDS[question.task_kind], now())
    ground = standing.ground
    if ground is None or (ground.kind == "recorded" and told_no):
        return None
    return Permission(ground.kind, ground.id, "grounds", _WORDS[ground.kind], ground.made)


def _by_mitz(answer: ClosedAnswer) -> Permission:
    return Permission("mitz", answer.message, "mitz", "the patient's choice in Mitz", answer.answered)


def _acute(answer: ClosedAnswer) -> Permission:
    return Permission(
        "acute",
        answer.message,
        "policy",
        "acute care without an objection, under the organisation's opt-out regime",
        answer.answered,
    )


def _cannot_ask(what: str, needed: str) -> ConsentRefused:
    return ConsentRefused(f"mitz-{what}-missing", f"Mitz cannot be asked without {needed}")
