"""Which sequence is it? By DICOM tags, series description and name; how sure, and why.

The rules are the table in `rules`. Nothing but the standard library is imported here: Slicer's application uses it.
"""

from __future__ import annotations

from .assign import Assignment as Assignment
from .assign import assign as assign
from .decide import identify as identify
from .evidence import TAGS as TAGS
from .evidence import Evidence as Evidence
from .evidence import Identification as Identification
from .evidence import evidence_from_tags as evidence_from_tags
