"""A professional who logs in at the stand-in of Dezi, walked through as a browser does."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode, urlsplit

from schakel.demo.check.trial import Trial, prove, prove_equal
from schakel.demo.doors import Reply

_WAITING = re.compile(r'name="waiting" value="([^"]+)"')
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def login(trial: Trial) -> str:
    """The EHR of the requester begins a login, one of its professionals goes through it, and the EHR is told who."""
    who = trial.user(trial.requester)
    at = f"/professionals/logins/{await logged_in(trial)}"
    told = (await trial.internal("GET", trial.requester, at)).json()
    prove_equal((told["state"], told["reason"]), ("logged-in", None), "how the login stands")
    found = told["professional"]
    prove_equal((found["number"], found["role"]), (who.id, who.role), "who logged in")
    prove_equal(found["organisation"]["ura"], trial.requester.ura, "for whom")
    ended = await trial.internal("DELETE", trial.requester, at)
    prove_equal(ended.status, 204, f"logging out ({ended.said()})")
    gone = await trial.internal("GET", trial.requester, at)
    prove_equal(gone.status, 404, "the login after its end")
    return (
        f"{found['name']} ({found['number']}, {found['role']}) for {trial.requester.slug} at level "
        f"{found['assurance'].rpartition('/')[2]}; another browser got 400, and after logging out it is gone"
    )


async def logged_in(trial: Trial) -> str:
    """The id of a new login of the requester's professional, who has gone through it."""
    who = trial.user(trial.requester)
    begun = await trial.internal("POST", trial.requester, "/professionals/logins")
    prove_equal(begun.status, 201, f"beginning a login ({begun.said()})")
    mine = begun.json()
    opened = await trial.client.send("GET", mine["address"])
    prove_equal(opened.status, 303, f"opening the address of a login ({opened.said()})")
    cookie = opened.headers["Set-Cookie"].partition(";")[0]
    answered = await chosen(trial, opened.headers["Location"], f"{who.id} {trial.requester.ura}")
    back = answered.headers["Location"]
    other = await trial.client.send("GET", back)
    prove_equal(other.status, 400, "the same answer of Dezi in another browser")
    page = await trial.client.send("GET", back, headers={"Cookie": cookie})
    prove_equal(page.status, 200, f"coming back from Dezi ({page.said()})")
    return str(mine["id"])


async def chosen(trial: Trial, address: str, who: str) -> Reply:
    """The answer of Dezi to the choice of a professional on its page at `address`."""
    page = await trial.client.send("GET", address)
    waiting = _WAITING.search(page.body.decode())
    prove(waiting is not None, f"Dezi shows no page to log in: {page.status}")
    assert waiting is not None
    parts = urlsplit(address)
    form = urlencode({"waiting": html.unescape(waiting[1]), "who": who, "action": "login"}).encode()
    sent = f"{parts.scheme}://{parts.netloc}/login"
    reply = await trial.client.send("POST", sent, headers=_FORM, data=form)
    prove_equal(reply.status, 303, f"choosing a professional at Dezi ({reply.said()[:100]})")
    return reply
