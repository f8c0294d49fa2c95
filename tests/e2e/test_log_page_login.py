"""A patient opens the page of the log in a browser: the login before it, and what ends or refuses it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from tests.medmij import KNOWN, STRANGER, Browser, Network, Page, medmij_node
from tests.nodes import databases, free_ports

from schakel.generic.logging import Event, Wanted
from schakel.store.embedded import EmbeddedServer

EMPTY = "Niemand heeft hier om uw gegevens gevraagd."
BEGIN = "Inloggen met DigiD"


class Patient(Browser):
    """A browser that asks for pages, at one node."""

    def __init__(self, network: Network, language: str = "nl") -> None:
        super().__init__(language)
        self.http.headers["Accept"] = "text/html,*/*;q=0.8"
        self.network = network

    def address(self, slug: str = "a", path: str = "") -> str:
        return f"{self.network.node[slug].front_root}/{slug}/log{path}"

    async def to_broker(self, slug: str = "a") -> Page:
        """The login page of the broker."""
        return await self.send(await self.open(self.address(slug)))

    async def log_in(self, bsn: str = KNOWN, slug: str = "a") -> Page:
        """The page of the log."""
        return await self.send(await self.to_broker(slug), bsn=bsn, action="login")

    async def callback(self, bsn: str = KNOWN, slug: str = "a") -> str:
        """The address with which the broker sends the browser back, which has not gone there yet."""
        page = await self.to_broker(slug)
        [form] = page.tree.forms
        sent = {**page.form(), "bsn": bsn, "action": "login"}
        answer = await self.http.post(httpx.URL(str(page.response.url)).join(form.action), data=sent)
        return answer.headers["location"]

    def kept(self, prefix: str = "schakel-log") -> list[str]:
        """The cookies that the browser has."""
        return [one.name for one in self.http.cookies.jar if one.name.startswith(prefix)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    """`a` takes part in MedMij; `b` does not, and has a broker all the same."""
    without = {"by_slug": {"b": {"medmij_name": ""}}}
    async with databases(cluster, "log_page") as make, medmij_node(make, node_settings=without) as network:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def patient(network: Network) -> AsyncIterator[Patient]:
    async with Patient(network) as patient:
        yield patient


async def kept_events(network: Network, kind: str, slug: str = "a", **wanted: Any) -> list[Event]:
    found = await network.node.node.organisations[slug].log.search(Wanted(kind=kind, **wanted), 1000)
    return [one.event for one in found]


async def change(network: Network, statement: str, *values: object) -> None:
    async with network.node.node.pool.acquire() as connection:
        await connection.execute(statement, *values)


# -- the way in and out --------------------------------------------------------------------------------------------


async def test_a_patient_logs_in_reads_and_logs_out(network: Network, patient: Patient) -> None:
    other = network.node["b"]
    asked = Event(
        subtype="search-type",
        action="E",
        outcome="0",
        requester=other.ura,
        requester_name="Kliniek B",
        holder=network.node["a"].ura,
        patient=KNOWN,
        purpose="TREAT",
    )
    await network.node.node.organisations["a"].log.write(asked)
    before = await patient.open(patient.address())
    assert before.response.status_code == 200 and BEGIN in before.text and "Kliniek B" not in before.text
    page = await patient.log_in()
    assert page.response.status_code == 200 and str(page.response.url).startswith(patient.address())
    assert (
        "Kliniek B" in page.text and "Voor uw behandeling." in page.text and KNOWN not in page.response.text
    )
    assert patient.kept() == ["schakel-log"]
    ended = await patient.send(page)
    assert "U bent uitgelogd" in ended.text and patient.kept() == []
    assert BEGIN in (await patient.open(patient.address())).text


async def test_login_each_reading_and_logout_are_in_the_log_under_one_session(
    network: Network, patient: Patient
) -> None:
    bsn = "999990147"
    await patient.send(await patient.log_in(bsn))
    kept = [
        event
        for kind in ("login", "log", "logout")
        for event in await kept_events(network, kind, patient=bsn)
    ]
    assert [(e.subtype, e.action, e.outcome, e.purpose) for e in kept] == [
        ("login", "E", "0", "PATRQT"),
        ("log", "R", "0", "PATRQT"),
        ("logout", "E", "0", "PATRQT"),
    ]
    assert len({e.token for e in kept}) == 1 and kept[0].token
    assert {e.network_address for e in kept} == {"127.0.0.1"}


async def test_a_holder_outside_medmij_has_the_page_too(network: Network, patient: Patient) -> None:
    assert network.node.node.organisations["b"].patients is None
    assert EMPTY in (await patient.log_in(slug="b")).text


async def test_who_is_not_known_reads_what_one_without_events_reads(network: Network) -> None:
    nothing_yet = "999990159"
    resource = {
        "resourceType": "Patient",
        "id": "quiet",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": nothing_yet}],
    }
    assert (await network.node["a"].internal.put("Patient/quiet", json=resource)).status_code == 201
    texts = set()
    for bsn in (nothing_yet, STRANGER):
        async with Patient(network) as patient:
            page = await patient.log_in(bsn)
            assert EMPTY in page.text
            texts.add(
                re.sub(r"[0-9]+|[0-9a-f]{64}", "0", page.response.text.replace(page.form()["csrf"], ""))
            )
    assert len(texts) == 1


async def test_the_language_of_the_browser_stays_through_the_login(network: Network) -> None:
    async with Patient(network, "en") as patient:
        page = await patient.log_in()
        assert "Who used your data?" in page.text and "lang=en" in str(page.response.url)
        assert "You are logged out" in (await patient.send(page)).text


# -- the browser -----------------------------------------------------------------------------------------------------


async def test_the_cookies_are_for_this_page_alone(network: Network, patient: Patient) -> None:
    address = await patient.callback()
    answer = await patient.http.get(address)
    set_now = answer.headers.get_list("set-cookie")
    [session] = [one for one in set_now if one.startswith("schakel-log=")]
    parts = {part.strip().lower() for part in session.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/a/log", "max-age=900"} <= parts and "secure" not in parts
    [gone] = [one for one in set_now if one.startswith("schakel-log-")]
    assert "max-age=0" in gone.lower()
    async with network.node.node.pool.acquire() as connection:
        kept = await connection.fetch("SELECT secret FROM page_session")
    text = session.partition(";")[0].partition("=")[2]
    assert len(text) >= 43 and all(text.encode() not in row["secret"] for row in kept)


async def test_cookies_go_over_https_only_when_the_page_does(cluster: EmbeddedServer) -> None:
    settings = {"public_url": "https://schakel.example/zorg"}
    async with (
        databases(cluster, "log_page_https") as make,
        medmij_node(make, node_settings=settings) as here,
        Patient(here) as patient,
    ):
        answer = await patient.http.post(patient.address(path="/login"), data={"lang": "nl"})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert (
        cookie.startswith("__Secure-schakel-log-") and "; Secure" in cookie and "Path=/zorg/a/log;" in cookie
    )
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == ["https://schakel.example/zorg/a/log/callback"]
    assert query["code_challenge_method"] == ["S256"] and query["nonce"][0] and query["state"][0]


async def test_the_state_and_the_browser_must_be_those_of_the_login(
    network: Network, patient: Patient
) -> None:
    address = await patient.callback()
    state = parse_qs(urlsplit(address).query)["state"][0]
    for wrong in (
        address.replace(state, "5b2f5d0e-1f0b-4c7e-9d6f-6d1b0f5a7a11"),
        address.replace(state, "x"),
        re.sub("state=[^&]*", "", address),
        f"{address}&state={state}",
        f"{address}&code=2",
    ):
        answer = await patient.http.get(wrong)
        assert answer.status_code == 400 and "login-gone" in answer.text, wrong
    async with Patient(network) as other:
        answer = await other.http.get(address)
        assert answer.status_code == 400 and "login-gone" in answer.text and not other.kept("schakel-log")
        # A cookie of the other browser's own, under this name, is not the one.
        other.http.cookies.set(f"schakel-log-{state}", "x" * 43, domain="127.0.0.1", path="/a/log")
        assert (await other.http.get(address)).status_code == 400
    assert (await patient.http.get(address)).status_code == 303


async def test_a_login_counts_once(patient: Patient) -> None:
    address = await patient.callback()
    cookies = dict(patient.http.cookies)
    assert (await patient.http.get(address)).status_code == 303
    patient.http.cookies.update(cookies)
    assert (await patient.http.get(address)).status_code == 400


@pytest.mark.parametrize("table", ["page_login", "page_session"])
async def test_after_its_time_a_login_or_session_is_over(
    network: Network, patient: Patient, table: str
) -> None:
    address = await patient.callback()
    if table == "page_session":
        assert (await patient.http.get(address)).status_code == 303
        assert "U bent ingelogd tot" in (await patient.open(patient.address())).text
    async with network.node.node.pool.acquire() as connection:
        until = await connection.fetchval(f"SELECT max(expires) - now() FROM {table}")
    assert timedelta(minutes=14) < until <= timedelta(minutes=15)
    await change(network, f"UPDATE {table} SET expires = now() - interval '1 second'")
    if table == "page_login":
        assert (await patient.http.get(address)).status_code == 400
    else:
        page = await patient.open(patient.address())
        assert "Uw tijd is om." in page.text and "Wie?" not in page.text


async def test_a_session_of_one_organisation_is_none_at_another(network: Network, patient: Patient) -> None:
    await patient.log_in()
    [cookie] = [one for one in patient.http.cookies.jar if one.name == "schakel-log"]
    assert cookie.path == "/a/log" and cookie.value
    async with Patient(network) as other:
        other.http.cookies.set("schakel-log", cookie.value, domain="127.0.0.1", path="/b/log")
        page = await other.open(other.address("b"))
        assert "Uw tijd is om." in page.text and "Uitloggen" not in page.text
        other.http.cookies.set("schakel-log", cookie.value, domain="127.0.0.1", path="/a/log")
        assert "Uitloggen" in (await other.open(other.address("a"))).text


async def test_a_session_opens_the_page_and_nothing_else(network: Network, patient: Patient) -> None:
    await patient.log_in()
    answer = await patient.http.get(patient.address(path="/fhir/r4/AuditEvent"))
    assert answer.status_code == 401


async def test_logging_out_needs_the_form_of_this_session(network: Network, patient: Patient) -> None:
    page = await patient.log_in()
    async with Patient(network) as other:
        theirs = (await other.log_in(STRANGER)).form()["csrf"]
    for fields in ({"lang": "nl"}, {"csrf": ""}, {"csrf": theirs}, {"csrf": "é"}):
        answer = await patient.http.post(patient.address(path="/logout"), data=fields)
        assert answer.status_code == 403 and "form-foreign" in answer.text
        assert "Uitloggen" in (await patient.open(patient.address())).text
    assert (await patient.http.get(patient.address(path="/logout"))).status_code == 200
    assert "Uitloggen" in (await patient.open(patient.address())).text
    secret = patient.http.cookies["schakel-log"]
    await patient.send(page)
    patient.http.cookies.set("schakel-log", secret, domain="127.0.0.1", path="/a/log")
    assert "Uw tijd is om." in (await patient.open(patient.address())).text


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_who_cancels_is_told_that_nothing_was_shown(network: Network, patient: Patient) -> None:
    page = await patient.send(await patient.to_broker(), action="cancel")
    assert page.response.status_code == 200 and "U bent gestopt" in page.text and patient.kept() == []
    [kept] = [e for e in await kept_events(network, "login") if e.reason == "login-cancelled"]
    assert (kept.outcome, kept.patient) == ("4", "")


async def test_a_broker_that_is_away_is_told_as_that(network: Network, cluster: EmbeddedServer) -> None:
    [port] = free_ports(1)
    key = network.folder / "broker-client.jwk"
    broker = {"issuer": f"http://127.0.0.1:{port}", "client_id": "node", "key": key}
    async with (
        databases(cluster, "log_page_away") as make,
        medmij_node(make, broker=broker) as away,
        Patient(away) as patient,
    ):
        page = await patient.to_broker()
        assert page.response.status_code == 502 and "Inloggen lukt nu niet." in page.text


async def test_a_code_that_the_broker_does_not_know_lets_nobody_in(patient: Patient) -> None:
    address = await patient.callback()
    answer = await patient.http.get(address.replace("code=", "code=x"))
    assert answer.status_code == 502 and "Inloggen lukt nu niet." in answer.text
    assert patient.kept() == []


async def test_a_login_below_the_level_is_told_as_that(cluster: EmbeddedServer) -> None:
    low = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    async with (
        databases(cluster, "log_page_level") as make,
        medmij_node(make, loa=low) as here,
        Patient(here) as patient,
    ):
        page = await patient.log_in()
        assert "Log in met de DigiD-app." in page.text and patient.kept() == []
        assert "Wie?" not in (await patient.open(patient.address())).text


async def test_without_a_broker_there_is_no_page_but_for_programs(cluster: EmbeddedServer) -> None:
    async with (
        databases(cluster, "log_page_none") as make,
        medmij_node(make, broker=None) as here,
        Patient(here) as patient,
    ):
        for path in ("", "/login", "/logout", "/callback?state=x"):
            answer = await patient.http.get(patient.address(path=path))
            assert answer.status_code == (404 if path else 401)
            assert "Inloggen met DigiD" not in answer.text and "Het adres klopt niet, of u" in answer.text


async def test_a_wrong_address_is_told_in_words_to_people_and_by_name_to_programs(patient: Patient) -> None:
    await patient.log_in()
    for query in ("?_page=x", "?patient.identifier=1", "?_count=x"):
        answer = await patient.http.get(patient.address(path=query))
        assert answer.status_code == 400 and "Het adres klopt niet." in answer.text
    unknown = await patient.http.get(patient.address().replace("/a/", "/nobody/"))
    assert unknown.status_code == 404 and "text/html" in unknown.headers["content-type"]
    answer = await patient.http.get(patient.address(), headers={"Accept": "*/*"})
    assert answer.status_code == 401 and answer.json()["code"]


async def test_logins_under_way_are_bounded(cluster: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schakel.generic.identity.page_logins._CLEANING_SECONDS", 0.0)
    settings = {"log": {"page_logins": 2}}
    async with (
        databases(cluster, "log_page_most") as make,
        medmij_node(make, node_settings=settings) as here,
        Patient(here) as first,
        Patient(here) as later,
    ):
        oldest = await first.callback()
        addresses = [await later.callback() for _ in range(2)]
        assert (await first.http.get(oldest)).status_code == 400
        assert [(await later.http.get(one)).status_code for one in addresses] == [303, 303]
