"""`facegate run`: the daemon."""

from typing import Annotated

import typer

from facegate.settings import load_settings


def run(
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; over the setting log.level.")
    ] = None,
) -> None:
    """Run the daemon until it is asked to stop (SIGTERM or Ctrl-C)."""
    settings = load_settings(**({"log": {"level": log_level}} if log_level else {}))

    from facegate.daemon.clock import SystemClock  # noqa: PLC0415 - after the settings were found usable
    from facegate.daemon.logs import start_logging  # noqa: PLC0415
    from facegate.daemon.service import Service  # noqa: PLC0415

    start_logging(settings.log)
    Service(settings, SystemClock()).run()
