"""Options that several commands share. Imported at every start, so that nothing but typer may be imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OrganisationOption = Annotated[
    str, typer.Option("--organisation", metavar="SLUG|URA", help="Which organisation we act for.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The folder of a running demo; or give --config.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The configuration of a running node.")
]
PatientOption = Annotated[str, typer.Option("--patient", metavar="BSN", help="Whose data.")]
UserIdOption = Annotated[
    str | None,
    typer.Option("--user-id", metavar="NUMBER", help="Who asks: Dezi or UZI number, or local account."),
]
UserNameOption = Annotated[str | None, typer.Option("--user-name", metavar="NAME", help="The name.")]
RoleOption = Annotated[
    str | None, typer.Option("--role", metavar="CODE", help="The role code, such as 01.015.")
]
ResponsibleOption = Annotated[
    str | None, typer.Option("--responsible", metavar="NUMBER", help="Who gave the mandate.")
]
ResponsibleRoleOption = Annotated[
    str | None,
    typer.Option("--responsible-role", metavar="CODE", help="The role code of who gave the mandate."),
]
PurposeOption = Annotated[str, typer.Option("--purpose", metavar="CODE", help="Purpose of use.")]
TreatmentRelationOption = Annotated[
    str, typer.Option("--treatment-relation", metavar="WORD", help="The relation with the patient.")
]
