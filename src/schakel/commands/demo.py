"""`schakel demo`: a whole region on this machine, until Ctrl-C, or for one check."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from schakel.demo.region import Running, Wanted, running
from schakel.demo.screen import Screen
from schakel.kernel.outcomes import Invalid, NotSupported


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command; see `schakel.cli`. `patients` and `seed` are None when not given."""

    patients: int | None = None
    port: int = 8400
    data: Path | None = None
    seed: int | None = None
    browser: bool = True
    check: bool = False
    json: Path | None = None


def demo(options: DemoOptions) -> int:
    """Runs the region until it is told to stop; the exit code. Raises an `Outcome` for what is in the way."""
    if sys.platform == "win32":
        raise NotSupported("the demo runs on Linux and macOS, where it brings its own PostgreSQL")
    if options.json is not None and not options.check:
        raise Invalid("--json goes with --check")
    if options.check and options.patients is not None and options.patients < 4:
        raise Invalid(
            "--check needs patients with and without a ground, and one who chose at Mitz: --patients 4 or more"
        )
    screen = Screen(sys.stdout)
    return asyncio.run(_until_stopped(options, screen))


async def _until_stopped(options: DemoOptions, screen: Screen) -> int:
    """The exit code: when a signal ends it 0 if the region was up, else 130.

    Further signals change nothing while all is taken down.
    """
    up = asyncio.Event()
    task = asyncio.ensure_future(_run(options, screen, up))
    loop = asyncio.get_running_loop()
    stopped = 0.0

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = loop.time()
            screen.line("Stopping.")
            task.cancel()
        elif loop.time() > stopped + 1:  # at once comes only what a parent process passes on as well
            screen.line("Still stopping: this takes a few seconds at most.")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        screen.line("Everything has stopped.")
        return 0 if up.is_set() else 130


async def _run(options: DemoOptions, screen: Screen, up: asyncio.Event) -> int:
    """Sets `up` when a person can use the region."""
    wanted = Wanted(options.data, options.patients, options.seed, options.port)
    async with running(wanted, screen) as region:
        if options.check:
            from schakel.demo.check import check

            return await check(region.folder.path, screen, options.json)
        _welcome(region, options, screen)
        up.set()
        raise await region.failed()


def _welcome(region: Running, options: DemoOptions, screen: Screen) -> None:
    """Where everything is, and what to do first."""
    published = region.published
    screen.line()
    screen.table(
        [("organisation", "slug", "front (others, bearer token)", "internal (own EHR, X-API-Key)")]
        + [(one["name"], one["slug"], one["front"], one["internal"]) for one in published["organisations"]]
    )
    screen.line()
    folder = region.folder.path
    screen.line(f"Keys, people, patients: {region.folder.published}")
    north, south = published["organisations"][:2]
    patient = next((p for p in published["patients"] if p["grounds"]), None)
    screen.line("Try, in another terminal (in a checkout, `uv run schakel` for `schakel`):")
    key = f"-H 'X-API-Key: {north['internal_key']}'"
    if patient is None:
        screen.line(f"  curl {key} {north['internal']}/fhir/stu3/metadata")
    else:
        bsn = f"http://fhir.nl/fhir/NamingSystem/bsn|{patient['bsn']}"
        screen.line(f"  curl -G {key} {north['internal']}/fhir/stu3/Condition \\")
        screen.line(f"    --data-urlencode 'patient.identifier={bsn}'")
        screen.line(
            f"  schakel fetch bgz --data {folder} --organisation {south['slug']} --patient {patient['bsn']} "
            f"--holder {north['slug']}"
        )
        screen.line(f"  schakel explain DECISION --data {folder} --organisation {north['slug']}")
    screen.line(f"  schakel roadmap run {published['region']} --board --data {folder}")
    staff = ", ".join(f"{one['name']} ({', '.join(one['roles'])})" for one in published["staff"])
    screen.line(f"Portal: {published['portal']} (log in as {staff})")
    if options.browser and _has_screen() and webbrowser.open(published["portal"]):
        screen.line("It opens in your browser; --no-browser leaves that out.")
    screen.line(f"Ready after {screen.seconds:.1f} s. Ctrl-C stops everything.")


def _has_screen() -> bool:
    """Whether a browser would open a window, and not take over this terminal."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
