"""The section "Sequences": four volumes, of which any may be missing, and what that will cost."""

from __future__ import annotations

from collections.abc import Mapping

import slicer
from slicer.i18n import tr as _

from .Expectation import expectation
from .Panel import Panel, breakable, showWarning
from .Parameters import SEQUENCE_KEYS, chosenVolumes, usedVolumes


class SequencesSection:
    """Selectors, *Detect*, and the line that says what to expect."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._toolTips = {sequence: self.selector(sequence).toolTip for sequence in SEQUENCE_KEYS}
        panel.ui.detectButton.connect("clicked(bool)", self.detect)
        self._show("")

    def selector(self, sequence: str) -> object:
        """Return the selector of a sequence: a ``qMRMLNodeComboBox``."""
        return getattr(self._panel.ui, f"{sequence}Selector")

    def detect(self) -> None:
        """Assign the volumes of the scene to the sequences that have none, and say why."""
        from .Detection import databaseReader, detectSequences, sceneVolumes
        from .Patients import volumesOfOnePatient

        parameters = self._panel.parameters
        if parameters is None:
            return
        chosen = chosenVolumes(parameters)
        volumes, patient = volumesOfOnePatient(sceneVolumes(parameters.parameterNode.GetScene()), chosen)
        detection = detectSequences(volumes, chosen, databaseReader())
        for sequence, volume in detection.found.items():
            setattr(parameters, sequence, volume)
        for sequence in SEQUENCE_KEYS:
            reason = detection.reasons.get(sequence, "")
            self.selector(sequence).toolTip = reason or self._toolTips[sequence]
        self._show("\n".join(self._words(detection, patient, bool(volumes))))
        self._panel.changed()

    def forget(self) -> None:
        """Show no reasons; they belong to another parameter set or scene."""
        for sequence in SEQUENCE_KEYS:
            self.selector(sequence).toolTip = self._toolTips[sequence]
        self._show("")

    def update(self, card: object) -> None:
        """Say what is present, what will be imputed, and what to expect from that.

        :param card: of the chosen model, None if it has none
        """
        used = usedVolumes(self._panel.parameters) if self._panel.parameters is not None else {}
        told = expectation(used, card)
        self._panel.ui.expectationLabel.text = told.summary
        warnings = [told.warning, *self._patientsWarning(used)]
        showWarning(self._panel.ui.warningIcon, self._panel.ui.warningLabel, " ".join(filter(None, warnings)))

    def _patientsWarning(self, used: Mapping[str, slicer.vtkMRMLScalarVolumeNode]) -> list[str]:
        """What to say if the volumes in use are of several patients."""
        from .Detection import sceneVolumes
        from .Patients import differentPatients

        volumes = sceneVolumes(self._panel.parameters.parameterNode.GetScene()) if len(used) > 1 else []
        patients = differentPatients(used.values(), volumes) if len(used) > 1 else []
        words = _("The chosen volumes seem to be of different patients: {patients}.")
        return [words.format(patients=", ".join(patients))] if patients else []

    def _words(self, detection: object, patient: str, hasVolumes: bool) -> list[str]:
        from lckd.sequences import Sequence

        if not hasVolumes:
            return [_("There is no volume in the scene yet. Load the series of the patient first.")]
        lines = [_("Only the volumes of {patient} were looked at.").format(patient=patient)] if patient else []
        for sequence, reason in detection.reasons.items():
            volume = detection.found.get(sequence)
            name = volume.GetName() if volume is not None else _("not assigned")
            lines.append(f"{Sequence(sequence).title}: {name}. {reason}")
        if not detection.found:
            lines.append(_("No further volume could be assigned; choose by hand."))
        unused = [f"{name} ({what})" for name, what in detection.unused.items()]
        return [*lines, *([_("Not used:") + " " + " ".join(unused)] if unused else [])]

    def _show(self, text: str) -> None:
        self._panel.ui.detectionLabel.text = breakable(text)
        self._panel.ui.detectionLabel.setVisible(bool(text))
