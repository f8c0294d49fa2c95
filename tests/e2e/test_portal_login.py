"""The staff of a region logs in to the portal: the way in and out, and what ends or refuses a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.nodes import databases, free_ports
from tests.staff import Member, Region, portal_node

from schakel.generic.identity.keys import new_rsa_key
from schakel.store.embedded import EmbeddedServer

SESSION = "schakel-portal"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    async with databases(cluster, "portal_login") as make, portal_node(make) as region:
        yield region


@pytest_asyncio.fixture(loop_scope="session")
async def member(region: Region) -> AsyncIterator[Member]:
    async with Member(region) as member:
        yield member


async def change(region: Region, statement: str, *values: object) -> None:
    async with region.node.node.pool.acquire() as connection:
        await connection.execute(statement, *values)


async def is_in(member: Member) -> bool:
    """Whether the browser is at a page that only those who are logged in can read."""
    page = await member.page("/")
    return page.response.status_code == 200 and urlsplit(str(page.response.url)).path == "/portal/"


# -- the way in and out --------------------------------------------------------------------------------------------


async def test_a_page_that_needs_a_login_leads_there_and_back(region: Region, member: Member) -> None:
    page = await member.page("/?sector=HA")
    assert (
        page.response.url.path == "/portal/login" and page.response.url.params["to"] == "/portal/?sector=HA"
    )
    back = await member.log_in(page.response.url.params["to"])
    assert str(back.response.url) == f"{region.portal}/?sector=HA" and "Jo viewer" in back.text
    assert member.kept() == [SESSION]
    ended = await member.submit(back, "/logout")
    assert "You are logged out" in ended.text and member.kept() == []
    assert not await is_in(member)


async def test_a_program_is_told_in_words_that_it_must_log_in(region: Region) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{region.portal}/", headers={"Accept": "application/json"})
    assert answer.status_code == 401 and answer.json()["code"] == "login-needed"
    assert "viewer" in answer.json()["detail"]


async def test_who_has_no_role_does_not_get_in_and_reads_what_to_tell_the_operator(region: Region) -> None:
    async with Member(region, "nobody") as member:
        page = await member.log_in()
        assert page.response.status_code == 403 and "you have no role" in page.text
        assert page.tree.xpath("//main//code/text()") == ["nobody"] and member.kept() == []


async def test_who_stops_at_the_provider_is_told_so(member: Member) -> None:
    page = await member.log_in(action="cancel")
    assert page.response.status_code == 200 and "You stopped before" in page.text and member.kept() == []


async def test_who_is_logged_in_goes_on_from_the_login_page(region: Region, member: Member) -> None:
    await member.log_in()
    page = await member.page("/login?to=/portal/about")
    assert str(page.response.url) == f"{region.portal}/about"


async def test_the_technical_log_has_login_refusal_and_logout_and_nobody_in_it(region: Region) -> None:
    with capture_logs() as logs:
        async with Member(region, "declarer") as member:
            page = await member.log_in("/portal/about")
            await member.send_form(page, "/logout")
        async with Member(region, "nobody") as member:
            await member.log_in()
    said = [one for one in logs if one["event"].startswith("portal-")]
    assert [one["event"] for one in said] == ["portal-login", "portal-logout", "portal-login-refused"]
    assert said[-1]["code"] == "login-no-role"
    assert not any(name in str(one) for one in said for name in ("declarer", "nobody", "Jo "))


# -- where it leads ---------------------------------------------------------------------------------------------------

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/portal/",
    "/portal//evil.example",
    "/portal/../a/log",
    "/portal/%2e%2e/a/log",
    "/portal/..",
    "/portalx",
    "/a/log",
    "/portal/\\evil.example",
    "/portal/\r\nSet-Cookie: x=y",
    "javascript:alert(1)",
    "portal/",
    "/portal/" + "x" * 2000,
)


@pytest.mark.parametrize("to", ELSEWHERE)
async def test_a_login_leads_to_our_own_pages_alone(region: Region, member: Member, to: str) -> None:
    asked = await member.http.get(f"{region.portal}/login", params={"to": to})
    assert asked.status_code == 400 and "to is no path of this portal" in asked.text
    sent = await member.http.post(f"{region.portal}/login", data={"to": to})
    assert sent.status_code == 400 and "location" not in sent.headers and member.kept() == []


async def test_a_login_does_not_lead_to_the_logout(region: Region, member: Member) -> None:
    page = await member.log_in("/portal/logout")
    assert str(page.response.url) == f"{region.portal}/"


# -- the browser and its session ------------------------------------------------------------------------------------


async def test_the_cookies_are_for_the_portal_alone(member: Member) -> None:
    answer = await member.http.get(await member.callback())
    set_now = answer.headers.get_list("set-cookie")
    [session] = [one for one in set_now if one.startswith(f"{SESSION}=")]
    parts = {part.strip().lower() for part in session.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/portal", "max-age=36000"} <= parts and "secure" not in parts
    [gone] = [one for one in set_now if one.startswith(f"{SESSION}-")]
    assert "max-age=0" in gone.lower()


@pytest.mark.parametrize(
    ("public_url", "prefix", "path"),
    [
        ("https://schakel.example", "__Host-", "/"),
        ("https://schakel.example/zorg", "__Secure-", "/zorg/portal"),
    ],
)
async def test_over_https_a_cookie_is_of_this_host_alone_and_on_a_shared_host_of_the_portal(
    cluster: EmbeddedServer, public_url: str, prefix: str, path: str
) -> None:
    settings = {"public_url": public_url}
    async with (
        databases(cluster, "portal_https") as make,
        portal_node(make, node_settings=settings) as region,
        Member(region) as member,
    ):
        answer = await member.http.post(f"{region.portal}/login", data={"to": ""})
        assert answer.status_code == 303
        [cookie] = answer.headers.get_list("set-cookie")
    name, *parts = [part.strip() for part in cookie.split(";")]
    assert name.startswith(f"{prefix}schakel-portal-")
    assert {"Secure", "HttpOnly", f"Path={path}", "SameSite=lax"} <= set(parts)
    assert not any(part.lower().startswith("domain") for part in parts)


async def test_a_provider_whose_name_ends_in_a_slash_is_found_and_taken_by_its_name(
    cluster: EmbeddedServer,
) -> None:
    async with (
        databases(cluster, "portal_slash") as make,
        portal_node(make, slash="/") as region,
        Member(region) as member,
    ):
        await member.log_in()
        assert await is_in(member)


async def test_the_database_has_no_secret_of_a_browser(region: Region, member: Member) -> None:
    await member.log_in()
    secret = member.http.cookies[SESSION]
    async with region.node.node.pool.acquire() as connection:
        rows = await connection.fetch("SELECT page_session::text AS row FROM page_session")
    assert rows and not any(secret in one["row"] for one in rows)


async def test_a_login_gives_a_new_session_and_ends_the_one_before(region: Region, member: Member) -> None:
    member.http.cookies.set(SESSION, "chosen-by-another", domain="127.0.0.1", path="/portal")
    another_window = await member.callback()
    await member.log_in()
    first = member.http.cookies[SESSION]
    assert first != "chosen-by-another" and await is_in(member)
    await member.http.get(another_window)
    second = member.http.cookies[SESSION]
    assert second != first
    async with Member(region) as thief:
        thief.http.cookies.set(SESSION, first, domain="127.0.0.1", path="/portal")
        assert not await is_in(thief)


async def test_two_windows_of_one_browser_log_in_without_disturbing_each_other(member: Member) -> None:
    first, second = await member.callback("/portal/about"), await member.callback()
    assert len(member.kept(f"{SESSION}-")) == 2
    assert (await member.http.get(second)).headers["location"].endswith("/portal/")
    assert (await member.http.get(first)).headers["location"].endswith("/portal/about")
    assert await is_in(member) and member.kept() == [SESSION]


async def test_logging_out_in_one_window_ends_it_in_the_other(member: Member) -> None:
    page = await member.log_in("/portal/about")
    await member.send_form(page, "/logout")
    answer = await member.send_form(page, "/logout")
    assert answer.status_code == 303 and answer.headers["location"].endswith("/portal/logout")


async def test_a_login_counts_once(member: Member) -> None:
    address = await member.callback()
    cookies = dict(member.http.cookies)
    assert (await member.http.get(address)).status_code == 303
    member.http.cookies.clear()
    member.http.cookies.update(cookies)
    again = await member.http.get(address)
    assert again.status_code == 400 and "login-gone" in again.text


@pytest.mark.parametrize("spoilt", ["state", "cookie", "twice", "code", "iss"])
async def test_the_answer_must_be_that_of_this_browser_and_this_login(
    region: Region, member: Member, spoilt: str
) -> None:
    address = httpx.URL(await member.callback())
    match spoilt:
        case "state":
            address = address.copy_set_param("state", "00000000-0000-4000-8000-000000000000")
        case "cookie":
            member.http.cookies.clear()
        case "twice":
            address = address.copy_add_param("state", "x")
        case "code":
            address = address.copy_set_param("code", "x")
        case "iss":
            address = address.copy_set_param("iss", "https://evil.example")
    answer = await member.http.get(address)
    assert answer.status_code in (400, 502) and SESSION not in member.kept()


async def test_without_use_a_session_ends_before_its_time(region: Region, member: Member) -> None:
    await member.log_in()
    await change(region, "UPDATE page_session SET expires = now() + interval '10 minutes'")
    assert await is_in(member)
    async with region.node.node.pool.acquire() as connection:
        left = await connection.fetchval("SELECT max(expires) - now() FROM page_session")
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    await change(region, "UPDATE page_session SET expires = now() - interval '1 second'")
    assert not await is_in(member)


async def test_use_does_not_make_a_session_longer_than_it_may_be(region: Region, member: Member) -> None:
    await member.log_in()
    await change(
        region,
        "UPDATE page_session SET expires = now() + interval '1 minute', ends = now() + interval '2 minutes'",
    )
    assert await is_in(member)
    async with region.node.node.pool.acquire() as connection:
        assert await connection.fetchval("SELECT bool_and(expires <= ends) FROM page_session")
        assert await connection.fetchval(
            "SELECT max(expires) - now() < interval '121 seconds' FROM page_session"
        )
    await change(region, "UPDATE page_session SET expires = now() - interval '1 second', ends = expires")
    assert not await is_in(member)


async def test_logins_under_way_end_and_are_bounded(
    region: Region, cluster: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel.generic.identity.page_logins._CLEANING_SECONDS", 0.0)
    async with databases(cluster, "portal_few") as make, portal_node(make, logins=2, sessions=2) as few:
        async with Member(few) as member:
            first = await member.callback()
            for _ in range(2):
                await member.callback()
            assert (await member.http.get(first)).status_code == 400
            late = await member.callback()
            await change(few, "UPDATE page_login SET expires = now() - interval '1 second'")
            assert (await member.http.get(late)).status_code == 400
        browsers = [Member(few) for _ in range(3)]
        for one in browsers:
            await one.log_in("/portal/about")
        assert [await is_in(one) for one in browsers] == [False, True, True]
        for one in browsers:
            await one.http.aclose()


async def test_what_somebody_may_do_is_what_the_settings_say_now(region: Region, member: Member) -> None:
    await member.log_in()
    assert await is_in(member)
    await change(region, "UPDATE page_session SET subject = 'left the region'")
    assert not await is_in(member)


async def test_a_provider_that_is_away_is_not_the_fault_of_the_person(
    cluster: EmbeddedServer, tmp_path: Path
) -> None:
    [nobody_there] = free_ports(1)
    (tmp_path / "client.jwk").write_bytes(orjson.dumps(new_rsa_key()))
    login = {
        "issuer": f"http://127.0.0.1:{nobody_there}",
        "client_id": "node",
        "key": tmp_path / "client.jwk",
    }
    async with (
        databases(cluster, "portal_away") as make,
        portal_node(make, login=login) as region,
        Member(region) as member,
    ):
        answer = await member.send_form(await member.page("/login"), "/login")
        assert answer.status_code == 502 and "That is not your fault" in answer.text


async def test_a_public_board_is_read_without_a_login_and_has_no_more_rights(cluster: EmbeddedServer) -> None:
    async with (
        databases(cluster, "portal_public") as make,
        portal_node(make, public=True, login=None, people={}) as region,
        Member(region) as member,
    ):
        assert await is_in(member)
        page = await member.page("/login")
        assert page.response.status_code == 404
        assert "/portal/login" not in (await member.page("/")).response.text
