"""The check of the mail domain: DNSSEC from an anchor down to each answer, with one link of the chain broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from tests.mail_world import DOMAIN, MX, SERVER, Change, World, mail_world, tlsa
from tests.name_server import Key

from schakel.kernel.outcomes import Invalid


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mail_world(tmp_path) as made:
        yield made


def replaced(world: World) -> None:
    world.names.replaced[f"{DOMAIN}."] = Key.new()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda world: world.names.zone(f"{DOMAIN}.", signed=False), "Not signed", id="unsigned-zone"
        ),
        pytest.param(
            lambda world: world.names.zone("test.", signed=False), "Not signed", id="unsigned-above"
        ),
        pytest.param(
            lambda world: world.names.unsigned.add(f"{MX}."), "does not hold", id="without-signature"
        ),
        pytest.param(lambda world: world.names.expired.add(f"{MX}."), "does not hold", id="expired"),
        pytest.param(lambda world: world.names.forged.add(f"{MX}."), "does not hold", id="forged"),
        pytest.param(replaced, "does not hold", id="key-not-delegated"),
    ],
)
async def test_a_domain_of_which_the_signatures_do_not_lead_to_the_root_fails(
    world: World, change: Change, said: str
) -> None:
    change(world)
    found = await world.looked()
    assert (found.verdict, found.facts["faults"]) == ("fails", 1), found
    assert f"{said} (DNSSEC)" in found.reason.en


def strips(world: World) -> None:
    world.names.strips = True


def other_anchor(world: World) -> None:
    world.names.replaced["."] = Key.new()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(strips, id="signatures-kept-back"),
        pytest.param(other_anchor, id="another-root"),
        pytest.param(lambda world: world.names.expired.add("."), id="clock"),
    ],
)
async def test_a_server_by_which_even_the_root_does_not_hold_leaves_dnssec_unchecked(
    world: World, change: Change
) -> None:
    change(world)
    found = await world.looked()
    assert found.verdict == "unknown", found
    assert "could not be checked by this DNS server" in found.reason.en


async def test_without_an_anchor_of_ours_that_of_the_root_counts_and_this_is_another_root(
    world: World,
) -> None:
    found = await world.looked(dns_anchors=None)
    assert (found.verdict, "could not be checked" in found.reason.en) == ("unknown", True)


@pytest.mark.parametrize("text", ["no records", ". 3600 IN A 127.0.0.1", ""], ids=["none", "other", "empty"])
async def test_a_file_without_anchors_is_refused_before_anything_is_asked(world: World, text: str) -> None:
    (world.folder / "wrong.txt").write_text(text)
    for name in ("wrong.txt", "absent.txt"):
        with pytest.raises(Invalid, match=r"defaults\.dns_anchors"):
            await world.looked(dns_anchors=str(world.folder / name))
    assert world.names.asked == []


async def test_an_anchor_lower_down_is_enough_for_what_is_below_it(world: World) -> None:
    found = await world.looked(dns_anchors=world.names.anchor(world.folder, f"{DOMAIN}."))
    assert found.verdict == "holds", found


async def test_an_alias_holds_when_each_of_its_steps_is_signed(world: World) -> None:
    world.names.remove(f"{MX}.", "A")
    world.names.add(f"{MX}.", "CNAME", "real.other.test.")
    world.names.add("real.other.test.", "A", "127.0.0.1")
    assert (await world.looked()).verdict == "holds"
    world.names.zone("other.test.", signed=False)
    found = await world.looked()
    assert (found.verdict, "Not signed" in found.reason.en) == ("fails", True)


@pytest.mark.parametrize(
    ("denial", "verdict"), [("NSEC", "holds"), ("NSEC3", "holds"), ("elsewhere", "unknown"), ("", "unknown")]
)
async def test_a_record_by_a_wildcard_holds_when_it_is_proved_that_nothing_is_nearer(
    world: World, denial: Literal["NSEC", "NSEC3", "elsewhere", ""], verdict: str
) -> None:
    world.names.remove(f"_{world.server.port}._tcp.{MX}.", "TLSA")
    world.names.add(f"*._tcp.{MX}.", "TLSA", tlsa(3, 1, 1, SERVER))
    world.names.denial = denial
    found = await world.looked()
    assert found.verdict == verdict, found
    assert verdict == "holds" or "could not be checked" in found.reason.en


async def test_that_there_is_nothing_counts_by_a_server_that_knows_the_root_alone(world: World) -> None:
    for name, kind in [one for one in world.names.records if one[0].endswith(f"{DOMAIN}.")]:
        world.names.remove(name, kind)
    found = await world.looked()
    assert (found.verdict, "no MX record" in found.reason.en) == ("fails", True), found
    world.names.strips = True
    found = await world.looked()
    assert (found.verdict, "neither the root of the DNS" in found.reason.en) == ("unknown", True), found


async def test_names_that_lead_round_in_a_ring_say_nothing(world: World) -> None:
    world.names.remove(f"{MX}.", "A")
    world.names.add(f"{MX}.", "CNAME", "ring.test.")
    world.names.add("ring.test.", "CNAME", f"{MX}.")
    found = await world.looked()
    assert (found.verdict, f"gave no answer about {MX}" in found.reason.en) == ("unknown", True), found
