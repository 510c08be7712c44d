"""``lckd doctor``"""

from __future__ import annotations

import dataclasses

import click

from .console import open_console
from .options import json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show whether everything is installed and works.

    Looks at packages, devices, models and the sample case. Every line is ok, warn or
    FAIL. Ends with status 0 if the program can be used, with 4 if not.

    \b
    Example:
      lckd doctor
    """
    from ..doctor import COMMAND_LINE, diagnose, refusal

    checks = diagnose(COMMAND_LINE)
    words = []
    for check in checks:
        words.append(f"{check.state:<5} {check.name}: {check.detail}")
        if check.action:
            words.append(f"      → {check.action}")
    error = refusal(checks)
    facts = {"usable": error is None, "checks": [dataclasses.asdict(check) for check in checks]}
    open_console(as_json).result(words, **facts)
    if error is not None:
        raise error
