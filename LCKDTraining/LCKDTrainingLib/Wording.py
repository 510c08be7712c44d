"""How counts, durations and amounts are said in the panel."""

from __future__ import annotations

from slicer.i18n import tr as _


def casesWords(count: int) -> str:
    """Return a number of cases in words: ``1 case``."""
    return _("1 case") if count == 1 else _("{count} cases").format(count=count)


def iterationsWords(count: int) -> str:
    """Return a number of iterations in words: ``1,200 iterations``."""
    return _("1 iteration") if count == 1 else _("{count:,} iterations").format(count=count)


def memoryWords(megabytes: float) -> str:
    """Return an amount of memory in words."""
    return _("{amount:.1f} GB").format(amount=megabytes / 1024) if megabytes >= 1024 else f"{megabytes:.0f} MB"


def durationWords(seconds: float) -> str:
    """Return a duration in words: ``2 h 05 min``."""
    minutes, days = round(seconds / 60), seconds / 86400
    if seconds < 60:
        return _("{seconds} s").format(seconds=round(seconds))
    if minutes < 60:
        return _("{minutes} min").format(minutes=minutes)
    if days < 2:
        return _("{hours} h {minutes:02} min").format(hours=minutes // 60, minutes=minutes % 60)
    return _("{days} d {hours} h").format(days=int(days), hours=int(seconds // 3600) % 24)
