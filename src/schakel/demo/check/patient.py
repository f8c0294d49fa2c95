"""What the patient reads of it, on the page of each holder, and what becomes of somebody who said no."""

from __future__ import annotations

import asyncio
import html
import re
import time
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin

from schakel.demo.check.finding import custodians, lists
from schakel.demo.check.trial import Party, Trial, prove, prove_equal, report
from schakel.demo.doors import Reply

_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
SECTION = re.compile(r"<section>(.*?)</section>", re.DOTALL)
_BROWSER = {"Accept": "text/html", "Accept-Language": "en"}
_SECONDS = 30.0


async def reads(trial: Trial) -> str:
    """The patient logs in at every holder of the exchange, at both operators, and reads who asked."""
    prove(bool(trial.answer), "the exchange has not been made")
    given = trial.givers()
    for holder in given:
        page = await read(trial, holder, trial.bsn)
        prove(trial.bsn not in page, "the page tells the BSN")
        told = [one for one in SECTION.findall(page) if html.escape(trial.requester.name) in one]
        prove(bool(told), f"the page of {holder.slug} does not name {trial.requester.slug}")
        person = html.escape(trial.user(trial.requester).name)
        prove(any(person in one for one in told), f"the page of {holder.slug} does not name the professional")
    pages = ", ".join(f"{one.slug} ({one.operator} operator)" for one in given)
    return f"{trial.requester.name} and the professional stand on the page of {pages}"


async def objected(trial: Trial) -> str:
    """A patient says no at the holder: from then on the index does not name it, who asks it all the same is refused,
    and the patient reads that. When the no is taken back it is found again."""
    bsn, holder = await trial.patient(), trial.holder
    prove(holder.ura in custodians(await lists(trial, bsn)), f"the index does not name {holder.slug} before")
    said = {"patient": bsn, "by": "Check of the demo", "reason": "Told the practice"}
    written = await trial.internal("POST", holder, "/consent/objections", said)
    prove_equal(written.status, 201, f"recording an objection ({written.said()})")
    try:
        seconds = await _until_named(trial, bsn, holder, False)
        localised = await trial.fetch(trial.requester, bsn, holders=())
        prove(holder.ura not in {one["ura"] for one in localised["holders"]}, "it was found and asked")
        asked = await trial.fetch(trial.requester, bsn)
        prove_equal(report(asked, holder.ura)["status"], "refused", "who names it all the same")
        prove("entry" not in asked["bundle"], "something was given")
        page = await read(trial, holder, bsn)
        told = [one for one in SECTION.findall(page) if html.escape(trial.requester.name) in one]
        prove(bool(told) and "you do not want this" in told[0], "the page does not say that it was refused")
    finally:
        path = f"/consent/objections/{written.json()['id']}/end"
        ended = await trial.internal("POST", holder, path, {"by": "Check of the demo"})
    prove_equal(ended.status, 200, f"taking it back ({ended.said()})")
    again = await _until_named(trial, bsn, holder, True)
    return (
        f"{seconds:.1f} s later the index does not name {holder.slug} any more; asked by name it refused, which the "
        f"patient reads on its page; {again:.1f} s after it was taken back it is named again"
    )


async def read(trial: Trial, holder: Party, bsn: str) -> str:
    """The page of the log of a holder, for a patient who logs in as a browser does."""
    cookies: SimpleCookie = SimpleCookie()
    address = f"{holder.front}/log"
    begin = await _send(trial, "POST", f"{address}/login", cookies, {"lang": "en"})
    broker = begin.headers["Location"]
    page = (await _send(trial, "GET", broker, SimpleCookie())).body.decode()
    form = _FORM.search(page)
    prove(form is not None, "the login service shows no form")
    assert form is not None
    fields = {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(page)}
    target = urljoin(broker, html.unescape(form[1]))
    chosen = await _send(trial, "POST", target, SimpleCookie(), {**fields, "bsn": bsn, "action": "login"})
    prove_equal(chosen.status, 303, f"logging in ({chosen.said()[:100]})")
    await _send(trial, "GET", chosen.headers["Location"], cookies)
    shown = await _send(trial, "GET", address, cookies)
    prove_equal(shown.status, 200, f"the page of the log at {holder.slug} ({shown.said()[:100]})")
    return shown.body.decode()


async def _send(
    trial: Trial, method: str, address: str, cookies: SimpleCookie, form: dict[str, str] | None = None
) -> Reply:
    headers = dict(_BROWSER)
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={one.value}" for name, one in cookies.items())
    data = None
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        data = urlencode(form).encode()
    reply = await trial.client.send(method, address, headers=headers, data=data)
    for name, value in reply.headers.items():
        if name.lower() == "set-cookie":
            cookies.load(value)
    return reply


async def _until_named(trial: Trial, bsn: str, holder: Party, wanted: bool) -> float:
    """The seconds until the index names a holder, or names it no more. Raises `NotProved`."""
    begun = time.monotonic()
    while (holder.ura in custodians(await lists(trial, bsn))) is not wanted:
        prove(
            time.monotonic() - begun < _SECONDS,
            f"{_SECONDS:.0f} s later the index {'does not name' if wanted else 'still names'} {holder.slug}",
        )
        await asyncio.sleep(0.3)
    return time.monotonic() - begun
