"""Whatever is presented, the answer is a presentation or a refusal of the token endpoint: never another error."""

from __future__ import annotations

import base64
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.presenting import Draft, Scene

from schakel.generic.identity import OAuthError
from schakel.generic.identity.credentials.reading import credential
from schakel.generic.identity.credentials.refusals import Refused

SCENE = Scene.new()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where something stands in `value`."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    found = [path] if path else []
    for name, inner in members:
        found += _places(inner, (*path, name))
    return found


def _changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    made = deepcopy(value)
    here = made
    for step in path[:-1]:
        here = here[step]
    if new is ...:
        del here[path[-1]]
    else:
        here[path[-1]] = new
    return made


async def _taken(text: str, scope: str = "bgz", submission: Any = None) -> bool:
    try:
        await SCENE.verify(text, scope, submission=submission)
    except OAuthError as error:
        told = error
    else:
        return True
    assert told.status == 400 and told.message and told.kind
    return False


@given(
    st.text()
    | st.from_regex(r"[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{1,60}", fullmatch=True)
)
@MANY
async def test_any_text_is_refused(text: str) -> None:
    assert not await _taken(text)


@given(header=JSON, claims=JSON)
@MANY
async def test_any_json_in_a_jwt_is_refused(header: Any, claims: Any) -> None:
    parts = (
        base64.urlsafe_b64encode(orjson.dumps(part, option=orjson.OPT_NON_STR_KEYS))
        for part in (header, claims)
    )
    assert not await _taken(b".".join([*(part.rstrip(b"=") for part in parts), b"AAAA"]).decode())


@given(st.data())
@MANY
async def test_a_presentation_in_which_anything_is_changed_is_taken_or_refused(data: st.DataObject) -> None:
    draft = SCENE.presentation(SCENE.x509(), SCENE.facility(), SCENE.dezi())
    part = data.draw(st.sampled_from(["header", "claims"]))
    path = data.draw(st.sampled_from([p for p in _places(getattr(draft, part)) if p != ("alg",)]))
    setattr(draft, part, _changed(getattr(draft, part), path, data.draw(st.just(...) | JSON)))
    await _taken(draft.sign())


@given(st.data())
@MANY
async def test_a_credential_in_which_anything_is_changed_is_taken_or_refused(data: st.DataObject) -> None:
    made = [SCENE.x509(), SCENE.facility()]
    which = data.draw(st.sampled_from([0, 1]))
    draft = made[which]
    part = data.draw(st.sampled_from(["header", "claims"]))
    path = data.draw(st.sampled_from([p for p in _places(getattr(draft, part)) if p != ("alg",)]))
    made[which] = Draft(draft.header, draft.claims, draft.key)
    setattr(made[which], part, _changed(getattr(draft, part), path, data.draw(st.just(...) | JSON)))
    await _taken(SCENE.presentation(*made, SCENE.dezi()).sign())


@given(st.data())
@MANY
async def test_a_statement_of_dezi_in_which_anything_is_changed_is_taken_or_refused(
    data: st.DataObject,
) -> None:
    whole = SCENE.dezi()
    path = data.draw(st.sampled_from(_places(whole)))
    changed = _changed(whole, path, data.draw(st.just(...) | JSON))
    await _taken(SCENE.presentation(SCENE.x509(), SCENE.facility(), changed).sign())


@given(st.data())
@MANY
async def test_any_submission_is_taken_or_refused(data: st.DataObject) -> None:
    told = SCENE.submission(*(f"$.verifiableCredential[{n}]" for n in range(3)))
    path = data.draw(st.sampled_from(_places(told)))
    new = data.draw(st.just(...) | JSON | st.from_regex(r"\$(\.[a-z]{1,5}|\[[0-9*]\]){0,4}", fullmatch=True))
    draft = SCENE.presentation(SCENE.x509(), SCENE.facility(), SCENE.dezi())
    await _taken(draft.sign(), submission=_changed(told, path, new))


@given(st.data())
@settings(max_examples=100, deadline=None)
async def test_a_bit_that_flips_in_a_presentation_is_never_taken(data: st.DataObject) -> None:
    text = SCENE.presentation(SCENE.x509(), SCENE.facility(), SCENE.dezi()).sign()
    head, body, signature = text.split(".")
    part = data.draw(st.sampled_from([0, 1]))
    parts = [head, body, signature]
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4)))
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    parts[part] = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    assert not await _taken(".".join(parts))


@given(JSON)
@MANY
def test_any_json_as_a_credential_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        credential(value)
