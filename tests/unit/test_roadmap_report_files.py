"""A report of a region written to files: each in its place, or nothing at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tests.standings import HOSPITAL, PRACTICE, SMALL, finding, run

from schakel.kernel.outcomes import Invalid
from schakel.roadmap import report
from schakel.roadmap.report import Kind, Source, make, of_run


@pytest.fixture(scope="module")
def measured() -> Source:
    """Two organisations that were measured by one check each."""
    return of_run(
        run((HOSPITAL.ura, finding("tls")), (PRACTICE.ura, finding("tls", "not-applicable"))), SMALL
    )


def test_each_kind_is_written_to_its_place(measured: Source, tmp_path: Path) -> None:
    paths: dict[Kind, Path] = {kind: tmp_path / f"region.{kind}" for kind in report.MEDIA}
    report.write(paths, measured, "en")
    assert {one.name for one in tmp_path.iterdir()} == {path.name for path in paths.values()}
    for kind, path in paths.items():
        assert path.read_bytes() == make(kind, measured, "en") or kind == "xlsx"
    assert zipfile.is_zipfile(paths["xlsx"])


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"pdf": "none/region.pdf"}, "there is no folder"),
        ({"html": "."}, "that is a folder"),
        ({"html": "region", "csv": "region"}, "--html and --csv name the same file"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(
    paths: dict[Kind, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=said):
        report.writable({kind: tmp_path / name for kind, name in paths.items()})
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_put_in_its_place_leaves_what_was_there(
    measured: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "region.html"
    path.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(Invalid, match=r"region\.html cannot be written: No space left"):
            report.write({"html": path}, measured, "nl")
    assert [one.name for one in tmp_path.iterdir()] == ["region.html"]
    assert path.read_bytes() == b"before"
    report.write({"html": path}, measured, "nl")
    assert path.read_bytes() == make("html", measured, "nl")


def test_a_link_to_a_file_stays_a_link_and_its_file_keeps_its_readers(
    measured: Source, tmp_path: Path
) -> None:
    file, link = tmp_path / "real.csv", tmp_path / "link.csv"
    file.touch(mode=0o600)
    link.symlink_to(file)
    report.write({"csv": link}, measured, "nl")
    assert link.is_symlink() and file.read_bytes() == make("csv", measured, "nl")
    assert file.stat().st_mode & 0o777 == 0o600
