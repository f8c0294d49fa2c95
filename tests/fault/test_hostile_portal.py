"""The portal and the doors of the board, asked what no browser and no honest program asks: nothing breaks, nothing that
was typed about a person comes back, and nothing is left half written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.medmij import Page
from tests.nodes import RunningOrganisation, databases
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.kernel.clock import new_id, now
from schakel.roadmap import wire
from schakel.roadmap.evidence import Member as Organisation
from schakel.roadmap.evidence import Run
from schakel.roadmap.reading import shipped
from schakel.store.embedded import EmbeddedServer

BSN = "999911120"
PATHWAY = {
    "id": "hartfalen",
    "name": "Hartfalen",
    "sector": "MSZ",
    "suitability": "yes",
    "decided_by": "vakgroep",
    "decided_on": "2026-01-05",
    "reason": "past goed",
}


@dataclass
class Attacked:
    """A node with a board, and somebody who may do everything in its portal."""

    region: Region
    manager: Member

    async def raw(self, path: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> int:
        """The status of the answer to a GET that is sent as it stands, in the manager's session."""
        at = urlsplit(self.region.portal)
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.manager.http.cookies.jar)
        sent = {b"Host": at.netloc.encode(), b"Accept": b"text/html", **dict(headers)}
        lines = [b"GET " + path + b" HTTP/1.1", b"Connection: close", b"Cookie: " + cookies.encode()]
        lines += [name + b": " + value for name, value in sent.items()]
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(b"\r\n".join([*lines, b"", b""]))
        try:
            answer = await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()
        return int(answer.split(b" ")[1])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def attacked(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Attacked]:
    key = tmp_path_factory.mktemp("hostile") / "pseudonyms.key"
    key.write_text("k" * 40)
    settings = {"roadmap": {"region": "Regio Test", "keepers": ["a"], "pseudonym_key": key}}
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "hostile_portal"))
        region = await stack.enter_async_context(portal_node(make, node_settings=settings))
        manager = await stack.enter_async_context(Member(region, "programme"))
        await manager.log_in("/portal/about")
        made = await ask(region.node["a"], "POST", "runs", wire.dump(_run(OWN, OTHER)))
        assert made.status_code == 201, made.text
        made = await ask(region.node["a"], "POST", "hybrid/pathways", orjson.dumps([PATHWAY]))
        assert made.status_code == 200, made.text
        yield Attacked(region, manager)


def _run(*uras: str, **changes: Any) -> Run:
    moment = now()
    members = tuple(Organisation(ura, f"Organisatie {ura}", "MSZ") for ura in uras)
    return Run(new_id(), "Regio Test", "iza-2025-06", "test", moment, moment, members, ())


async def ask(
    organisation: RunningOrganisation, method: str, path: str, body: bytes | None = None
) -> httpx.Response:
    url = f"{organisation.internal_root}/{organisation.slug}/roadmap/{path}"
    return await organisation.internal.request(method, url, content=body)


# -- strange addresses ---------------------------------------------------------------------------------------

PAGES = (
    b"/portal/",
    b"/portal/about",
    b"/portal/login",
    b"/portal/organisations/%00",
    b"/portal/items/%00",
    b"/portal/items/GF-1/%00",
    b"/portal/items/%ED%A0%80/%ED%A0%80",
    b"/portal/runs/%00",
    b"/portal/runs/%ED%A0%80",
    b"/portal/hybrid/%00/%00",
    b"/portal/hybrid/%ED%A0%80",
    b"/portal/hybrid?period=%00",
    b"/portal/hybrid?period=9999-Q4",
    b"/portal/agenda/%00",
    b"/portal/agenda/%D9%A2%D9%A0%D9%A2%D9%A6",
    b"/portal/agenda/actions/%00",
    b"/portal/export.%00",
    b"/portal/%00",
    b"/portal/?state=%00&sector=%ED%A0%80&year=99999999999999999999",
    b"/portal/agenda?owner=%00&ura=%ED%A0%80",
    b"/portal/agenda/new?step=%00&ura=%ED%A0%80",
    b"/portal/callback?state=%00&code=%00",
    b"/portal/?lang=%00",
)


@pytest.mark.parametrize("path", PAGES)
async def test_no_address_of_the_portal_breaks_it(attacked: Attacked, path: bytes) -> None:
    assert await attacked.raw(path) < 500


@pytest.mark.parametrize("host", [b"[", b"a[b", b"x:99999999", b"[::1", b"", b"\xff", b"a/b?c#d"])
@pytest.mark.parametrize("path", [b"/portal/", b"/portal/x/y", b"/portal/about?lang=en"])
async def test_no_name_of_a_host_breaks_a_page(attacked: Attacked, host: bytes, path: bytes) -> None:
    assert await attacked.raw(path, ((b"Host", host),)) < 500


@pytest.mark.parametrize(
    "cookie", [b"schakel-portal=\xff", b"schakel-portal=%00", b'schakel-portal="; x', b"="]
)
async def test_no_cookie_breaks_a_page(attacked: Attacked, cookie: bytes) -> None:
    assert await attacked.raw(b"/portal/about", ((b"Cookie", cookie),)) < 500


@pytest.mark.parametrize("language", [b"\xff", b"nl;q=x", b"," * 5000, b"*;q=1e999"])
async def test_no_wish_for_a_language_breaks_a_page(attacked: Attacked, language: bytes) -> None:
    assert await attacked.raw(b"/portal/about", ((b"Accept-Language", language),)) < 500


async def test_nobody_has_everybody_counted_for_any_period_ever(attacked: Attacked) -> None:
    year = now().year
    assert await attacked.raw(b"/portal/hybrid?period=%d" % year) == 200
    assert await attacked.raw(b"/portal/hybrid?period=%d-Q1" % (year - 40)) == 400


# -- strange forms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strange", ["\0", "\ud800".encode("utf-8", "surrogatepass"), "9" * 5000, "\u202e"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/hybrid/90000001/%00", {"suitability": "yes", "decided_on": "2026-01-05"}),
        ("/hybrid/90000001/hartfalen", {"suitability": "yes", "decided_on": "2026-01-05"}),
        (
            "/items/GF-1/90000001",
            {"action": "declare", "step": "GF-1.S2", "claim": "done", "on": "0001-01-01"},
        ),
        ("/items/GF-1/90000001", {"action": "confirm"}),
        ("/items/GF-1/90000001", {"action": "withdraw"}),
        ("/agenda/new", {"item": "GF-1", "progress": "planned", "starts": "9999-12-31", "due": "9999-12-31"}),
    ],
)
async def test_no_text_in_a_form_breaks_it(
    attacked: Attacked, path: str, fields: dict[str, str], strange: str | bytes
) -> None:
    names = (
        "decided_by",
        "reason",
        "owner",
        "document",
        "link",
        "until",
        "declaration",
        "title",
        "note",
        "ura",
    )
    token = await attacked.manager.token()
    raw = strange if isinstance(strange, bytes) else strange.encode()
    everything = dict.fromkeys(names, raw) | {name: one.encode() for name, one in fields.items()}
    everything["csrf"] = token.encode()
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), one)
        for name, one in everything.items()
    )
    answer = await attacked.manager.http.post(
        f"{attacked.region.portal}{path}",
        content=parts + b"--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code < 500, answer.text


async def test_nobody_decides_about_a_pathway_with_a_name_that_cannot_be(attacked: Attacked) -> None:
    fields = {"suitability": "no", "decided_on": "2026-01-05", "decided_by": "vakgroep", "reason": "te klein"}
    answer = await attacked.manager.http.post(
        f"{attacked.region.portal}/hybrid/{OWN}/%00", data={**fields, "csrf": await attacked.manager.token()}
    )
    assert answer.status_code == 404


async def test_what_was_shown_of_a_large_file_can_be_imported(attacked: Attacked) -> None:
    today = now().date().isoformat()
    steps = [step.id for item in shipped().items for step in item.steps if not step.checks]
    rows = [
        {
            "organisation": ura,
            "step": step,
            "claim": "not-done",
            "owner": "Informatiemanager",
            "date": today,
            "until": today,
            "reason": "Nog niet begonnen. " * 50,
        }
        for ura in (OWN, OTHER)
        for step in steps
    ]
    manager, address = attacked.manager, f"{attacked.region.portal}/scans"
    token = await manager.token()
    seen = await manager.http.post(
        address, data={"csrf": token}, files={"file": ("scan.json", orjson.dumps({"declarations": rows}))}
    )
    [form] = [one for one in Page(seen).tree.forms if "scan" in one.fields]
    shown = str(form.fields["scan"])
    assert len(shown) > 100_000
    done = await manager.http.post(
        address,
        files={"csrf": (None, token), "action": (None, "import"), "scan": (None, shown.encode())},
    )
    assert (done.status_code, done.headers.get("location", "")) == (303, f"/portal/scans?done={len(rows)}"), (
        done.text
    )


async def test_a_file_full_of_strange_columns_makes_no_endless_page(attacked: Attacked) -> None:
    rows = [{f"column-{row}-{number}": "" for number in range(300)} for row in range(300)]
    answer = await attacked.manager.http.post(
        f"{attacked.region.portal}/scans",
        data={"csrf": await attacked.manager.token()},
        files={"file": ("scan.json", orjson.dumps({"declarations": rows}))},
    )
    assert answer.status_code == 400 and len(answer.content) < 200_000


# -- files and runs that no honest program sends ---------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["hybrid/pathways/%00", "hybrid/pathways/%ED%A0%80", "hybrid/pathways/%EF%BF%BE"]
)
async def test_a_pathway_that_cannot_be_is_not_there(attacked: Attacked, path: str) -> None:
    assert (await ask(attacked.region.node["a"], "DELETE", path)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"a\rb;c\rd;e\n1;2\n",
        b"pathway;" + b"x" * 200_000 + b"\n1;2\n",
        b'"pathway;bsn\n1;2\n',
        b"\n\n",
        b";" * 100_000 + b"\nx",
        b"[" * 100_000,
        b'{"people": ' + b"[" * 5000,
        b'[{"pathway": 1e400}]',
        b'[{"pathway": "\\ud800"}]',
        b'{"people": {"0": 1}}',
        b"\xff\xfe\x00\x00",
    ],
)
@pytest.mark.parametrize("door", ["hybrid/people", "hybrid/pathways", "hybrid/blocks", "runs", "versions"])
async def test_no_file_breaks_a_door(attacked: Attacked, door: str, body: bytes) -> None:
    answer = await ask(attacked.region.node["a"], "POST", door, body)
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "body",
    [
        f"hartfalen;{BSN};2026-01-01\nhartfalen;{BSN};2026-01-01\n".encode(),
        f"pathway,bsn,{BSN}\nhartfalen,{BSN},x\n".encode(),
        orjson.dumps([{"pathway": "hartfalen", BSN: "yes"}]),
        orjson.dumps([{"pathway": "hartfalen", BSN: 3}]),
        orjson.dumps([{"pathway": "hartfalen", BSN: "x" * 2000}]),
        f"pathway;{BSN};{BSN}\nhartfalen;1;2\n".encode(),
    ],
    ids=["no header", "among the names", "a member", "no text", "too long", "twice"],
)
async def test_a_number_of_a_person_in_the_place_of_a_name_is_not_repeated(
    attacked: Attacked, body: bytes
) -> None:
    answer = await ask(attacked.region.node["a"], "POST", "hybrid/people", body)
    assert answer.status_code == 400 and BSN not in answer.text


@pytest.mark.parametrize("written", [f"pseudonym-{BSN}", f"0000000_{BSN}", f"{BSN}-and-then-more"])
async def test_a_number_of_a_person_with_something_around_it_is_no_pseudonym(
    attacked: Attacked, written: str
) -> None:
    body = orjson.dumps([{"pathway": "hartfalen", "pseudonym": written, "eligible_from": "2026-01-01"}])
    answer = await ask(attacked.region.node["a"], "POST", "hybrid/people", body)
    assert answer.status_code == 400 and BSN not in answer.text


async def test_a_run_in_which_nobody_is_empties_no_board(attacked: Attacked) -> None:
    keeper = attacked.region.node["a"]
    answer = await ask(keeper, "POST", "runs", wire.dump(_run()))
    assert (answer.status_code, answer.json()["expression"]) == (400, "members")
    members = (await ask(keeper, "GET", "board")).json()["members"]
    assert [one["ura"] for one in members] == [OWN, OTHER]


async def test_two_runs_with_one_id_at_once_leave_one_of_them(attacked: Attacked) -> None:
    keeper = attacked.region.node["a"]
    first = wire.dump(_run(OWN, OTHER))
    second = first.replace(b'"by": "test"', b'"by": "else"')
    answers = await asyncio.gather(*(ask(keeper, "POST", "runs", one) for one in (first, second, first)))
    statuses = sorted(one.status_code for one in answers)
    assert statuses in ([200, 201, 409], [201, 409, 409])
