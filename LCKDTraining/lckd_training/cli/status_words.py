"""The status of a training run in words, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lckd.sequences import Sequence

from ..watching.status import RunStatus, State

_REGIONS = ("ET", "TC", "WT")
_WIDTH = 20


def describe_status(status: RunStatus) -> list[str]:
    """The status, line by line; what the run does not tell is left out."""
    lines = [_headline(status)]
    if status.losses:
        loss = status.losses
        terms = f"task {loss['loss_task']:.3f}, distillation {loss['loss_ckd']:.3f}"
        lines.append(_line("loss", f"{loss['loss']:.3f} ({terms}), mean of the last iterations"))
    if status.lr is not None:
        lines.append(_line("learning rate", f"{status.lr:.2g}"))
    lines += _speed(status)
    if status.checkpoint is not None:
        age = f", {duration(status.checkpoint_age)} ago" if status.checkpoint_age is not None else ""
        lines.append(_line("last checkpoint", f"iteration {status.checkpoint:,}{age}"))
    return lines + _election(status) + _weights(status)


def duration(seconds: float) -> str:
    """A length of time in words, e.g. ``2 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def title_of(sequence: str) -> str:
    """A sequence as it is written in words."""
    return Sequence(sequence).title


def _headline(status: RunStatus) -> str:
    of_all = f" of {status.iterations:,} ({status.percent:.1f} %)" if status.percent is not None else ""
    where = f" on {status.device}" if status.device else ""
    where += f", {status.processes} processes" if status.processes > 1 else ""
    where += f", {status.host}" if status.host else ""
    line = f"{status.state.value}: iteration {status.iteration:,}{of_all}{where}"
    if status.reason:
        line += f": {status.reason}"
    if status.state in (State.PREPARING, State.TRAINING, State.STOPPED) and status.silent is not None:
        line += f" (last sign of life {duration(status.silent)} ago)"
    return line


def _speed(status: RunStatus) -> list[str]:
    lines = []
    if status.steps_per_second is not None and status.patches_per_second is not None:
        rates = f"{status.steps_per_second:.2f} iterations/s, {status.patches_per_second:.2f} patches/s"
        waiting = f", {status.waiting:.0%} of the time waiting for data" if status.waiting is not None else ""
        lines.append(_line("speed", rates + waiting))
    if status.memory_mb is not None:
        lines.append(_line("memory", f"{status.memory_mb:,.0f} MB"))
    if status.seconds_left is not None:
        lines.append(_line("time left", duration(status.seconds_left)))
    return lines


def _election(status: RunStatus) -> list[str]:
    election = status.election
    if election is None:
        return []
    rows = [(title_of(sequence), _cells(dice)) for sequence, dice in election.dice.items()]
    if election.full is not None:
        rows.append(("all sequences", _cells(election.full)))
    rows.append(("teacher", [title_of(election.teachers[r]) if r in election.teachers else "" for r in _REGIONS]))
    lines = _table(f"Dice, iteration {election.iteration:,}", _REGIONS, rows)
    if status.best_score is not None and status.best_iteration is not None:
        lines.append(_line("best score", f"{status.best_score:.3f} at iteration {status.best_iteration:,}"))
    return lines


def _weights(status: RunStatus) -> list[str]:
    if status.weights is None:
        return []
    by_region = status.weights.weights
    sequences = [sequence.value for sequence in Sequence if any(sequence.value in row for row in by_region.values())]
    rows = [(title_of(s), _cells({region: row[s] for region, row in by_region.items()})) for s in sequences]
    return _table(f"Weights, iteration {status.weights.iteration:,}", _REGIONS, rows)


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> list[str]:
    width = max(_WIDTH, len(title)) + 4
    every = [(title, list(columns)), *((f"  {name}", cells) for name, cells in rows)]
    return [name.ljust(width) + "".join(f"{cell:>8}" for cell in cells) for name, cells in every]


def _cells(values: Mapping[str, float]) -> list[str]:
    return [f"{values[region]:.3f}" if region in values else "–" for region in _REGIONS]


def _line(name: str, text: str) -> str:
    return f"{name.ljust(_WIDTH)}{text}"
