"""The check of the mail domain: its mail servers, STARTTLS and DANE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.certificates import Issued
from tests.mail_world import (
    BETWEEN,
    DOMAIN,
    MX,
    ROOT,
    SERVER,
    SPF,
    Change,
    World,
    added,
    mail_world,
    nta,
    talks,
    texts,
    tlsa,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mail_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("record", "shown"),
    [((3, 0, 0), SERVER), ((3, 1, 2), SERVER), ((2, 0, 1), BETWEEN), ((2, 1, 1), BETWEEN)],
    ids=["3-0-0", "3-1-2", "2-0-1", "2-1-1"],
)
async def test_each_form_of_dane_for_mail_holds(
    world: World, record: tuple[int, int, int], shown: Issued
) -> None:
    world.dane(tlsa(3, 1, 1, ROOT), tlsa(*record, shown))
    found = await world.looked()
    assert found.verdict == "holds", found
    assert "DANE {} {} {}".format(*record) in found.detail


@pytest.mark.parametrize(
    ("issued", "verdicts"),
    [
        pytest.param(BETWEEN.issue("mx", hosts=("other.test",)), ("holds", "fails"), id="other-name"),
        pytest.param(BETWEEN.issue("mx", hosts=(MX,), days=(-9, -1)), ("holds", "fails"), id="expired"),
        pytest.param(BETWEEN.issue("mx", hosts=(DOMAIN,)), ("holds", "holds"), id="name-of-the-domain"),
    ],
)
async def test_name_and_end_of_a_certificate_count_by_an_authority_alone(
    world: World, issued: Issued, verdicts: tuple[str, str]
) -> None:
    world.shows(issued)
    found = []
    for record in (tlsa(3, 1, 1, issued), tlsa(2, 1, 1, BETWEEN)):
        world.dane(record)
        found.append((await world.looked()).verdict)
    assert tuple(found) == verdicts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(talks(greeting="554 not you"), "does not want to talk", id="refuses-us"),
        pytest.param(talks(begins="454 later"), "does not want to talk", id="no-tls-now"),
        pytest.param(talks(greeting="220 " + "x" * 200_000), "the connection broke", id="endless-line"),
        pytest.param(talks(greeting="220-more\r\n" * 500), "does not want to talk", id="endless-lines"),
        pytest.param(talks(mute=True), "gave no answer: too slow", id="silent"),
        pytest.param(added(f"{MX}.", "A", "192.0.2.1"), "no address that we may ask", id="not-public"),
        pytest.param(added(f"{MX}.", "A", "127.0.0.2"), "nothing listens there", id="nobody"),
    ],
)
async def test_a_mail_server_that_does_not_answer_leaves_its_tls_unchecked(
    world: World, change: Change, said: str
) -> None:
    change(world)
    found = await world.looked(seconds=1 if world.server.mute else 60)
    assert found.verdict == "unknown", found
    assert said in found.reason.en


async def test_a_mail_server_of_a_private_network_is_not_asked_unless_the_file_says_so(world: World) -> None:
    found = await world.looked(http_on_loopback=False)
    assert (found.verdict, "no address that we may ask" in found.reason.en) == ("unknown", True)
    assert world.server.asked == []
    found = await world.looked(http_on_loopback=False, private=["127.0.0.0/8"])
    assert found.verdict == "holds", found


async def test_the_next_address_of_a_server_is_tried_when_one_does_not_answer(world: World) -> None:
    world.names.add(f"{MX}.", "A", "127.0.0.3", "127.0.0.1")
    assert (await world.looked()).verdict == "holds"


async def test_the_servers_for_this_mail_are_those_that_its_record_names(world: World) -> None:
    world.names.add(f"{DOMAIN}.", "MX", "10 nowhere.test.")
    assert (await world.looked()).verdict == "holds"
    texts(SPF, nta(mx=""))(world)
    found = await world.looked()
    assert (found.verdict, "nowhere.test has no" in found.reason.en) == ("fails", True)
