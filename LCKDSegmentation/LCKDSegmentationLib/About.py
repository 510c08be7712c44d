"""What both modules say about themselves: who made them, on which method, and what they are not for."""

from slicer.i18n import tr as _

CONTRIBUTORS = ["BrainTumorLCKD contributors"]
HOMEPAGE = "https://github.com/lckd/SlicerBrainTumorLCKD"


def disclaimer() -> str:
    """Return the sentence that stands wherever results are shown."""
    return _("For research use only. Not for clinical use.")


def acknowledgement() -> str:
    """Return the acknowledgement text of both modules (HTML)."""
    return _(
        "The method is that of Wang H. et al., <i>Learnable Cross-modal Knowledge Distillation for Multi-modal"
        " Learning with Missing Modality</i>, MICCAI 2023, {link}. Please cite that publication."
    ).format(link='<a href="https://doi.org/10.1007/978-3-031-43901-8_21">doi:10.1007/978-3-031-43901-8_21</a>')


def helpText(purpose: str) -> str:
    """Return the help text of a module (HTML): its purpose, the disclaimer, where to read more."""
    more = _("See the {link}documentation{end}.").format(link=f'<a href="{HOMEPAGE}">', end="</a>")
    return f"{purpose} {more}<p><b>{disclaimer()}</b></p>"
