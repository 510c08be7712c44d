"""The command `lckd` and its sub-commands, each imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util

import click

from .. import __version__
from ..errors import UsageError
from .options import debug_option

#: Where each command is defined.
_COMMANDS = {
    "segment": "lckd.cli.segment:segment",
    "compare": "lckd.cli.compare:compare",
    "batch": "lckd.cli.batch:batch",
    "demo": "lckd.cli.demo:demo",
    "models": "lckd.cli.models:models",
    "identify": "lckd.cli.identify:identify",
    "doctor": "lckd.cli.doctor:doctor",
    "data": "lckd_training.cli.data:data",
    "train": "lckd_training.cli.train:train",
    "evaluate": "lckd_training.cli.evaluate:evaluate",
    "export": "lckd_training.cli.export:export",
}
_EPILOG = """
\b
Tab completion: add one line to the start-up file of your shell.
  bash  ~/.bashrc   eval "$(_LCKD_COMPLETE=bash_source lckd)"
  zsh   ~/.zshrc    eval "$(_LCKD_COMPLETE=zsh_source lckd)"
  fish  ~/.config/fish/completions/lckd.fish   _LCKD_COMPLETE=fish_source lckd | source

Research software. Not for clinical use.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return _without_trainer(cmd_name)
        return _with_debug(getattr(importlib.import_module(module), attribute))


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="lckd")
@click.pass_context
def lckd(context: click.Context) -> None:
    """Segment brain tumors on MRI from whichever of FLAIR, T1, T1c and T2 there are.

    \b
    First steps:
      lckd demo                        try it on the sample case
      lckd segment PATIENT -o RESULT   a folder with flair.nii.gz, t1.nii.gz, …
      lckd segment --help              everything else, with examples
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _with_debug(command: click.Command) -> click.Command:
    """Give a command, or each of a group, the option ``--debug``."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _with_debug(inner)
    elif debug_option not in command.params:
        command.params.append(debug_option)
    return command


def _without_trainer(name: str) -> click.Command:
    """Stands for a command of the trainer where the trainer is not installed."""

    def refuse() -> None:
        raise UsageError(
            "TRAINER_MISSING",
            f"The command {name} belongs to the trainer (lckd_training), which is not installed.",
            "Install the whole project with pip.",
        )

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, context_settings=settings, help="(The trainer is not installed.)")
