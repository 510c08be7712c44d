"""What the timing of a scan says about its weighting, where words do not.

The thresholds stand around the values of the consensus protocol for brain-tumor MRI (Ellingson et al.,
Neuro-Oncology 2015;17:1188-1198: 3-D T1 inversion-prepared gradient echo with TI 1100 ms; FLAIR with TR > 6000, TE
100-140, TI 2000-2500 ms; T2 with TR > 2500, TE 80-120 ms) and of textbooks (Westbrook, MRI in Practice: spin echo is
T1-weighted with TR 300-700 and TE 10-30 ms, T2-weighted with TR > 2000 and TE > 70 ms, proton-density-weighted with a
long TR and a short TE), wide enough for the 3-D fast spin echo (FLAIR with TI from 1650 ms) and T1 FLAIR at 3 T.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..sequences import Sequence
from .evidence import Evidence

#: Inversion times in ms: fat is nulled, white and gray matter are told apart, fluid is nulled.
_TI_FAT, _TI_T1, _TI_FLUID = (60, 300), (300, 1400), (1300, 3200)
_SHORT_TE, _LONG_TE, _GRADIENT_LONG_TE = 45.0, 65.0, 12.0
_SHORT_TR, _LONG_TR = 1200.0, 1800.0
#: A spoiled gradient echo is T1-weighted in 3-D with a TR as short as this and a small flip angle (still shorter ones
#: are localizers, angiograms and dynamic series), in 2-D with a longer TR and a large flip angle. With a short TR and
#: a large flip angle it is a balanced steady state or an angiogram.
_SPOILED_TR, _SPOILED_TE, _SPOILED_FLIP = (5.0, 15.0), (2.0, 8.0), (5.0, 35.0)
_FLASH_TR, _FLASH_FLIP = (100.0, 400.0), 55.0
#: TR of an inversion-prepared gradient echo, where it is that of the whole cycle.
_PREPARED_TR = 1400.0


@dataclass(frozen=True)
class Timing:
    """What the timing says: `possible` holds one sequence where it decides, none where it is none of the four.

    T1 stands for T1 and T1c, which timing cannot tell apart.
    """

    possible: tuple[Sequence, ...]
    words: str


def read_timing(evidence: Evidence) -> Timing | None:
    """The weighting by the timing of the scan; None where it does not say."""
    kinds = {part.strip().upper() for part in evidence.scanning_sequence.split("\\")}
    if "EP" in kinds:
        return Timing((), "it is echo-planar imaging")
    te, tr, ti = evidence.echo_time_ms, evidence.repetition_time_ms, evidence.inversion_time_ms
    if not te:
        return None
    if ti:
        return _inverted(te, tr, ti)
    if not tr:
        return None
    if "GR" in kinds:
        return _gradient_echo(te, tr, evidence)
    return _spin_echo(te, tr, kinds)


def _inverted(te: float, tr: float | None, ti: float) -> Timing | None:
    words = f"TE {te:g}, TI {ti:g} ms"
    if _within(ti, _TI_FLUID) and te >= _LONG_TE and (tr is None or tr > 1.5 * ti):
        return Timing((Sequence.FLAIR,), f"{words} null the fluid")
    if _within(ti, _TI_T1) and te < _SHORT_TE:
        return Timing((Sequence.T1,), f"{words} are T1-weighted")
    if _within(ti, _TI_FAT) and te < 2 * _LONG_TE and (tr or 0) > _LONG_TR:
        return Timing((), f"{words} null the fat")
    return None


def _gradient_echo(te: float, tr: float, evidence: Evidence) -> Timing | None:
    flip = evidence.flip_angle_deg or 0.0
    words = f"gradient echo with TR {tr:g}, TE {te:g} ms"
    if te >= _GRADIENT_LONG_TE:
        return Timing((), f"{words} is T2*-weighted")
    if tr <= _SPOILED_TR[1] and flip > _SPOILED_FLIP[1]:
        return Timing((), f"{words} and a flip angle of {flip:g}° is a steady state or an angiogram")
    if evidence.acquisition_type.upper() == "3D":
        short = _within(tr, _SPOILED_TR) and _within(te, _SPOILED_TE)
        prepared = tr > _PREPARED_TR and te <= _SPOILED_TE[1]
        t1 = (short or prepared) and _within(flip, _SPOILED_FLIP)
    else:
        t1 = _within(tr, _FLASH_TR) and te <= _SPOILED_TE[1] and flip >= _FLASH_FLIP
    return Timing((Sequence.T1,), f"{words} is T1-weighted") if t1 else None


def _spin_echo(te: float, tr: float, kinds: set[str]) -> Timing | None:
    words = f"TR {tr:g}, TE {te:g} ms"
    spin_echo = "SE" in kinds or "RM" in kinds
    if 200 < tr <= _SHORT_TR and te <= 30 and spin_echo:
        return Timing((Sequence.T1,), f"{words} are T1-weighted")
    if tr < _LONG_TR:
        return None
    if te >= _LONG_TE:
        if spin_echo and "IR" not in kinds:
            return Timing((Sequence.T2,), f"{words} are T2-weighted")
        return Timing((Sequence.FLAIR, Sequence.T2), f"{words} are those of T2 or FLAIR")
    if te < _SHORT_TE and spin_echo and "IR" not in kinds:
        return Timing((), f"{words} are proton-density-weighted")
    return None


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
