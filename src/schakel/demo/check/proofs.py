"""What holds a token to its owner, what a withdrawn certificate opens, and what can be shown afterwards.

The certificate, its withdrawal and the key are real ones; log and decisions are checked by the commands that an officer
would use.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from schakel.demo import cast, certificates
from schakel.demo.check.trial import Trial, bsn_query, prove, prove_equal
from schakel.demo.doors import Client, Reply
from schakel.generic.identity import DpopKey
from schakel.kernel import tls

_PATIENCE = 20
"""Seconds within which a withdrawn certificate must be refused: lists and verdicts are kept for a few."""


async def bound(trial: Trial) -> str:
    """A token that is bound to a certificate and a key opens with both, and with neither changed."""
    key, path = DpopKey.new(), f"Condition?{bsn_query(await trial.patient())}"
    address = f"{trial.holder.guarded}/{path}"
    endpoint = f"{trial.holder.back}/oauth2/token"
    asked = await trial.ask_token(
        trial.assertion(trial.requester), headers={"DPoP": key.proof("POST", endpoint)}
    )
    prove_equal((asked.status, asked.json().get("token_type")), (200, "DPoP"), f"the token ({asked.said()})")
    token = str(asked.json()["access_token"])

    async def ask(client: Client, proof: str, scheme: str = "DPoP") -> Reply:
        headers = {"Authorization": f"{scheme} {token}", "DPoP": proof, "Accept": "application/fhir+json"}
        return await client.send("GET", address, headers=headers)

    own, other = trial.requester.outside, trial.parties[cast.GENERAL_PRACTICE.slug].outside
    proof = key.proof("GET", address, token)
    first = await ask(own, proof)
    prove_equal(first.status, 200, f"with its key and certificate ({first.said()})")
    wrong = {
        "the same proof again": await ask(own, proof),
        "another certificate": await ask(other, key.proof("GET", address, token)),
        "another key": await ask(own, DpopKey.new().proof("GET", address, token)),
        "a proof for another address": await ask(
            own, key.proof("GET", f"{trial.holder.guarded}/Flag", token)
        ),
        "no proof": await trial.guarded(path, token),
    }
    for name, reply in wrong.items():
        prove_equal(reply.status, 401, f"{name} ({reply.said()})")
    return f"200 with its key and certificate; 401 with {', '.join(wrong)}"


async def withdrawn(trial: Trial) -> str:
    """An organisation's certificate opens the door until the authority withdraws it."""
    one = cast.organisation(trial.requester.slug)
    authority = trial.stand_ins["uzi-ca"]
    with TemporaryDirectory() as folder:
        pair = certificates.Pair(Path(folder, "c.pem"), Path(folder, "c.key"))
        given = await certificates.asked(trial.client, authority, one)
        pair.certificate.write_text(given.certificate)
        pair.key.write_bytes(given.key)
        shown = tls.client([trial.anchors], pair.certificate, pair.key, setting="")
    address = f"{trial.holder.guarded}/metadata"
    async with Client(tls=shown) as client:
        before = await client.send("GET", address)
        prove_equal(before.status, 200, f"before ({before.said()})")
        body = orjson.dumps({"serial": given.serial, "reason": "keyCompromise"})
        told = await trial.client.send("POST", f"{authority}/revocations", data=body)
        prove_equal(told.status, 204, f"withdrawing it ({told.said()})")
        for second in range(2 * _PATIENCE):
            after = await client.send("GET", address)
            if after.status != 200:
                prove_equal(after.status, 403, f"after ({after.said()})")
                prove("revoked" in after.said() or "withdrawn" in after.said(), f"refused: {after.said()}")
                return f"200 before, 403 within {second / 2 + 0.5:g} s after: {after.said()}"
            await asyncio.sleep(0.5)
    prove(False, f"a withdrawn certificate still opens the door after {_PATIENCE} s")
    return ""


async def sealed(trial: Trial) -> str:
    """The holder's log is as the seals outside the database say."""
    said = await _command(trial, "log", "verify", "--organisation", trial.holder.slug)
    lines = [line.strip() for line in said.splitlines() if "sealed" in line]
    prove(bool(lines), f"nothing was said of seals: {said[:200]}")
    return lines[0]


async def replayed(trial: Trial) -> str:
    """A decision of the exchange, taken again from what was stored, with the rules as they were."""
    decision = str(trial.report(trial.holder)["requests"][0]["decision"])
    said = await _command(trial, "explain", decision, "--organisation", trial.holder.slug, "--replay")
    prove("same" in said, f"the replay does not say that it is the same: {said[-300:]}")
    return f"decision {decision} was taken again with the same result"


async def _command(trial: Trial, *words: str) -> str:
    """What a command of ours prints. Raises `NotProved` when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "schakel",
        *words,
        "--data",
        str(trial.folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode(errors="replace")
    prove_equal(process.returncode, 0, f"schakel {' '.join(words)} ({text[-300:]})")
    return text
