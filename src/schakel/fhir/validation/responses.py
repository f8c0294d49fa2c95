"""A QuestionnaireResponse against its Questionnaire.

Source: questionnaireresponse.html and questionnaire.html of STU3 and R4: which items may stand where, which must be
answered, when an item is enabled, and the type and number of answers.
"""

from __future__ import annotations

from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.places import At
from schakel.fhir.validation.answers import check_answers, extension_of
from schakel.fhir.validation.enablement import Enablement, Occurrence
from schakel.fhir.validation.references import contained
from schakel.fhir.validation.run import Run, dicts, text


def check_response(run: Run) -> None:
    """Check the resource of `run` when it is a QuestionnaireResponse and its Questionnaire can be had."""
    response = run.root
    if response.get("resourceType") != "QuestionnaireResponse":
        return
    at: At = (None, "QuestionnaireResponse", None)
    questionnaire = _questionnaire(run, response, at)
    if questionnaire is not None:
        _Response(run, response, questionnaire).check(at)


def _questionnaire(run: Run, response: Resource, at: At) -> Resource | None:
    named = response.get("questionnaire")  # a canonical in R4, a Reference in STU3
    url = text(named.get("reference")) if isinstance(named, dict) else text(named)
    if not url:
        return None
    where: At = (at, "questionnaire", None)
    if url.startswith("#"):
        found = contained(response, url[1:])
        if found is None and not isinstance(named, dict):
            run.error("not-found", "no contained resource has this id", where)
    else:
        found = run.find(url) if run.find else None
        if found is None:
            run.could_not_check(f"the answers: the questionnaire {url[:300]} is not here", where, "warning")
    if found is not None and found.get("resourceType") != "Questionnaire":
        run.error("structure", f"this is a {found.get('resourceType')}, not a Questionnaire", where)
        return None
    return found


class _Response:
    def __init__(self, run: Run, response: Resource, questionnaire: Resource) -> None:
        self._run = run
        self._response = response
        self._questionnaire = questionnaire
        self._missing = "warning" if response.get("status") == "in-progress" else "error"
        self._enablement = Enablement(run, response, questionnaire)
        self._known: set[str] = set()
        waiting = dicts(questionnaire.get("item"))
        while waiting:
            item = waiting.pop()
            self._known.add(text(item.get("linkId")))
            waiting.extend(dicts(item.get("item")))

    def check(self, at: At) -> None:
        self._items(
            self._response, dicts(self._questionnaire.get("item")), Occurrence(self._response, None), at
        )

    def _items(
        self, parent: dict[str, Any], questions: list[dict[str, Any]], around: Occurrence, at: At
    ) -> None:
        """The items in `parent` (the response, a group or an answer), against the questions that belong there."""
        order = {text(question.get("linkId")): place for place, question in enumerate(questions)}
        found: dict[str, list[tuple[dict[str, Any], At]]] = {}
        last = -1
        for index, item in enumerate(dicts(parent.get("item"))):
            where: At = (at, "item", index)
            name = text(item.get("linkId"))
            if name not in order:
                problem = "does not belong here" if name in self._known else "is not in the questionnaire"
                self._run.error("structure", f"the item {name[:64]!r} {problem}", where)
                continue
            if order[name] < last:
                self._run.error("structure", "the items are not in the order of the questionnaire", where)
            last = max(last, order[name])
            found.setdefault(name, []).append((item, where))
        for question in questions:
            self._question(question, found.get(text(question.get("linkId")), []), around, at)

    def _question(
        self,
        question: dict[str, Any],
        items: list[tuple[dict[str, Any], At]],
        around: Occurrence,
        at: At,
    ) -> None:
        run, kind = self._run, text(question.get("type"))
        name = text(question.get("linkId"))
        if not self._enablement.enabled(question, around):
            for item, where in items:
                if item.get("answer") or item.get("item"):
                    run.error("business-rule", "the item is not enabled and has content", where)
            return
        if not items:
            if question.get("required") is True and kind != "display":
                run.add(self._missing, "required", f"the required item {name[:64]!r} is missing", at)
            return
        if len(items) > 1 and question.get("repeats") is not True:
            run.error("structure", "this item may stand once", items[1][1])
        for item, where in items:
            self._item(question, kind, item, Occurrence(item, around), where)
        if kind not in ("group", "display"):
            self._count(question, kind, items)

    def _item(
        self, question: dict[str, Any], kind: str, item: dict[str, Any], here: Occurrence, at: At
    ) -> None:
        run, inner = self._run, dicts(question.get("item"))
        said, meant = text(item.get("text")), text(question.get("text"))
        if said and meant and said != meant:
            run.warning("business-rule", "the text is another than that of the questionnaire", at)
        answers = dicts(item.get("answer"))
        if kind in ("group", "display"):
            if answers:
                run.error("structure", f"a {kind} has no answers", at)
            if kind == "group":
                self._items(item, inner, here, at)
            return
        if dicts(item.get("item")):
            run.error("structure", "items below a question stand in its answer", at)
        check_answers(run, question, kind, answers, self._questionnaire, at)
        for index, answer in enumerate(answers):
            self._items(answer, inner, here, (at, "answer", index))

    def _count(self, question: dict[str, Any], kind: str, items: list[tuple[dict[str, Any], At]]) -> None:
        """How many answers there are, over all occurrences of the item."""
        count = sum(len(dicts(item.get("answer"))) for item, _ in items)
        at = items[0][1]
        least = extension_of(question, "questionnaire-minOccurs")
        most = extension_of(question, "questionnaire-maxOccurs")
        if isinstance(least, int) and count < least:
            self._run.add(self._missing, "required", f"at least {least} answers are needed", at)
        elif not count and question.get("required") is True:
            self._run.add(self._missing, "required", "a required item needs an answer", at)
        if question.get("repeats") is not True:
            if count > 1 and len(items) == 1:
                self._run.error("structure", "this item takes one answer", at)
        elif isinstance(most, int) and count > most:
            self._run.error("structure", f"at most {most} answers may be given", at)
