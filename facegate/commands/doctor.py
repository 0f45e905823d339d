"""`facegate doctor`: everything that a run needs, a line each, with the mend."""

from typing import Annotated

import typer

from facegate.commands.output import console, print_json
from facegate.settings import load_settings

COLOURS = {"ok": "green", "note": "yellow", "fail": "red"}


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the self-test and Frigate.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything that a run needs; leaves with 3 if something keeps facegate from its work."""
    settings = load_settings()

    from rich.text import Text  # noqa: PLC0415 - after the settings were found usable

    from facegate.daemon.checkup import Health, check_up  # noqa: PLC0415
    from facegate.daemon.clock import SystemClock  # noqa: PLC0415

    findings = []
    screen = console()
    for finding in check_up(settings, SystemClock(), quick=quick):
        findings.append(finding)
        if not as_json:
            line = Text(f"{finding.health:<5}", style=COLOURS[finding.health]).append(f"{finding.what:<12} ", "bold")
            line.append(finding.detail, "default").append(f"  -> {finding.mend}" if finding.mend else "", "dim")
            screen.print(line, soft_wrap=True)
    ready = all(finding.health is not Health.ILL for finding in findings)
    if as_json:
        print_json({"ready": ready, "checks": [finding.to_json() for finding in findings]})
    if not ready:
        raise typer.Exit(3)
