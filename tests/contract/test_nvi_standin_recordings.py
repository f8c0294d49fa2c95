"""The NVI stand-in answers as the real NVI was recorded, case by case.

The cases of the main run depend on each other, so all are replayed once, in the order of that run; each is then a test
of its own. Compared are status, content type, further headers and the body, but for ids (which must agree with each
other), moments, and texts of libraries.

Not replayed: `crypto-old-*`, `upstream-*` (another service: what stands behind the real NVI), `mock-crypto-*` (a mode
in which the real one keeps pseudonyms as they come, which this one does not have), and requests for tokens, which are
in test_minvws_oauth.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.replays import Replay
from tests.shared import shared, shared_root

pytestmark = pytest.mark.shared

OTHERS = ("crypto-old-", "upstream-", "mock-crypto-", "chain-token-")
STATES = {
    "crypto-down-": "down",
    "list-create-no-active-key": "no-key",
    "localize-no-active-key": "no-key",
    "list-delete-query-subject-strict-crypto": "strict",
}
FIRST = (
    "auth- info- metadata document- old- unsupported- crypto-down- list-create-no-active localize-no-active"
)
MAIN_RUN = """
    list-create list-create-duplicate-same-token list-create-duplicate-new-token list-create-second-device
    list-create-other-ura-provider-b list-create-patient2 list-create-application-json list-create-ura-mismatch
    list-create-short-ura-in-extension list-create-with-code list-create-unknown-member list-create-extension-other-url
    list-create-retired list-create-bad-status list-create-broken-json list-create-extension-other-system
    list-create-no-empty-reason list-create-no-extension list-create-no-source list-create-no-source-id
    list-create-no-subject list-create-other-resource-type list-create-scope-missing list-create-source-system-oauth
    list-create-subject-system-bsn list-create-text-plain list-create-token-bad-jwe list-create-token-missing-member
    list-create-token-not-base64 list-create-token-not-json list-put list-read list-read-no-source-id
    list-read-not-a-uuid list-read-other-provider list-read-scope-missing list-read-unknown list-search-post
    list-search-scope-missing search-code search-count search-format search-none search-none-other-provider
    search-source-only search-source-other-system search-subject-bad-token search-subject-bare
    search-subject-dot-identifier search-subject-empty search-subject-other-system search-subject-pipe-value
    search-subject-source search-subject-source-system search-subject-system search-subject-system-pipe
    search-subject-twice search-subject-unknown-patient search-value-with-two-pipes registrations-create
    registrations-create-duplicate registrations-create-no-source-id registrations-create-scope-missing
    registrations-create-wrong-blind-factor registrations-create-provider-b registrations-create-bad-jwe
    registrations-create-missing-field registrations-get registrations-get-unknown registrations-get-scope-missing
    registrations-get-bad-jwe registrations-get-no-params localize localize-unknown localize-scope-missing
    localize-bad-jwe localize-missing-field registrations-delete-no-source-id registrations-delete-scope-missing
    registrations-delete registrations-delete-again registrations-get-after-delete list-delete-scope-missing
    list-delete-unknown list-delete-other-provider list-delete list-delete-again list-delete-query-no-source-id
    list-delete-query-scope-missing list-delete-query-unknown-param list-delete-query-source-nothing
    list-delete-query-source list-delete-query-subject-strict-crypto list-delete-query-subject
    list-delete-query-subject-source list-delete-query-subject-empty list-delete-query-subject-pipe-value
    list-delete-query-subject-system-pipe list-delete-query-source-pipe-value list-delete-query-none
    list-delete-query-none-again bundle-create-two bundle-create-mixed bundle-get-no-param bundle-get-one-param
    bundle-get-two-params bundle-get-two-params-bad-token bundle-get-by-id bundle-get-by-id-unknown bundle-put
    bundle-patch bundle-batch bundle-absolute-url bundle-bad-resource bundle-collection-no-entry bundle-empty
    bundle-no-request bundle-no-resource bundle-no-source-id bundle-other-resource bundle-scope-missing
    bundle-id-and-param bundle-delete-one-param bundle-delete-two-params bundle-delete-two-params-bad-token
    bundle-slash-url bundle-delete-by-id bundle-delete-by-id-unknown gateway-ok
"""


def recorded() -> dict[str, Mapping[str, Any]]:
    """The recordings that are about the NVI and its verifier, by name."""
    files = sorted((shared_root() / "recordings" / "nvi").glob("*.json"))
    return {file.stem: orjson.loads(file.read_bytes()) for file in files if not file.name.startswith(OTHERS)}


RECORDED = recorded()


def order() -> list[str]:
    """All names: what depends on nothing, the main run, and what was asked later."""
    first = [name for name in RECORDED if name.startswith(tuple(FIRST.split()))]
    run = MAIN_RUN.split()
    rest = [name for name in RECORDED if name not in (*first, *run)]
    return [*first, *run, *sorted(rest, key=lambda name: not name.startswith("gateway-"))]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Replay, Any]]:
    """Our answers to all, by name, and how many registrations there were before and after."""
    shared("recordings", "nvi")
    replay = Replay(tmp_path_factory.mktemp("nvi"))
    ours: dict[str, tuple[httpx.Response, dict[str, int]]] = {}
    for name in order():
        case = RECORDED[name]
        if "rows_per_ura" in case:
            await replay.fill(rows(case, "before"))
        if name == "gateway-ok":
            await replay.add("urn:uuid:race")
            await replay.add("urn:uuid:race")
        state = next((state for start, state in STATES.items() if name.startswith(start)), "ok")
        answer = await replay.ask(case, state)
        if answer.headers.get("content-type", "").endswith("json"):
            replay.bind((case["response"] or {}).get("body"), answer.json())
        ours[name] = answer, await replay.rows() if "rows_per_ura" in case else {}
    yield replay, ours


def rows(case: Mapping[str, Any], moment: str) -> dict[str, int]:
    return {one.partition("|")[0]: int(one.partition("|")[2]) for one in case["rows_per_ura"][moment]}


@pytest.mark.parametrize("name", RECORDED)
def test_the_stand_in_answers_as_the_real_one_was_recorded(
    answers: tuple[Replay, Mapping[str, tuple[httpx.Response, dict[str, int]]]], name: str
) -> None:
    replay, ours = answers
    case, (answer, left) = RECORDED[name], ours[name]
    wanted = case["response"]
    assert answer.status_code == wanted["status"], answer.text
    assert answer.headers.get("content-type") == wanted["headers"].get("content-type")
    assert {header: answer.headers.get(header) for header in wanted["headers"]} == wanted["headers"]
    body = orjson.loads(replay.filled(orjson.dumps(wanted["body"]).decode()))
    if name == "info-root":
        assert answer.text
    elif body is None:
        assert not answer.content
    elif (answer.headers.get("content-type") or "text/plain").startswith("text/plain"):
        assert answer.text == body
    else:
        assert comparable(answer.json()) == comparable(body)
    if "rows_per_ura" in case:
        assert left == rows(case, "after")
    if not name.startswith("gateway-"):
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


LIBRARY = re.compile(r"(?<=Headers in request): .*|: 1 validation error for .*", re.DOTALL)
"""What a library says of a model that it cannot read."""

SAID = ("description", "documentation", "display")
"""Members of the CapabilityStatement that say something to a person."""


def comparable(value: Any, name: str = "") -> Any:
    """The value without what may differ."""
    if isinstance(value, dict):
        return {key: comparable(one, key) for key, one in value.items() if key not in SAID}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if name == "created_at":
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}", value), value
        return "a moment"
    if name == "text" and isinstance(value, str):
        if "is required for" in value:
            return value
        return LIBRARY.sub("", value)
    return value


def test_every_recording_has_its_place_in_the_order() -> None:
    shared("recordings", "nvi")
    assert sorted(order()) == sorted(RECORDED)
    assert len(RECORDED) > 180
