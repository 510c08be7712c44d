"""A field for a path that shows one parameter and takes what is typed or chosen."""

from __future__ import annotations

from typing import Any

import ctk

from .Panel import Panel, setEnabledWithReason


class PathEdit:
    """Binds a ``ctkPathLineEdit`` to a parameter that is a text.

    :param name: of the parameter
    """

    def __init__(self, panel: Panel, edit: ctk.ctkPathLineEdit, name: str) -> None:
        self._panel = panel
        self._edit = edit
        self._name = name
        self._toolTip = edit.toolTip
        edit.connect("currentPathChanged(QString)", lambda _path: self._store())
        # A text that was deleted is told in this way only.
        edit.connect("validInputChanged(bool)", lambda _valid: self._store())

    def update(self, problem: str = "") -> None:
        """Show the parameter; what is typed at this moment is the same already and stays untouched.

        :param problem: why nothing can be chosen now; empty if it can
        """
        path = self._value(self._panel.parameters)
        if self._edit.currentPath != path:
            self._edit.currentPath = path
        setEnabledWithReason(self._edit, problem, self._toolTip)

    def _store(self) -> None:
        parameters = self._panel.parameters
        if parameters is not None and self._value(parameters) != self._edit.currentPath:
            setattr(parameters, self._name, self._edit.currentPath)

    def _value(self, parameters: Any) -> str:
        return str(getattr(parameters, self._name)) if parameters is not None else ""
