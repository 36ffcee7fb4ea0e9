"""Whatever was raised, as an error with a name: a broken link says less than the worst of these."""

from __future__ import annotations

import os

from .errors import EvidenceUnknown, Failed, MlxopsError
from .procs.facts import Unseen


def as_error(exc: Exception) -> MlxopsError:
    """A failure of ours as it is, one of the machine in words, a defect with its place."""
    if isinstance(exc, MlxopsError):
        return exc
    if isinstance(exc, Unseen):
        return EvidenceUnknown("could not look: %s" % exc.reason, "mlxops status")
    if isinstance(exc, OSError):
        return Failed("%s: %s" % (exc.filename or "the host", exc.strerror or exc), "look at it on the host")
    return _defect(exc)


def _defect(exc: Exception) -> MlxopsError:
    import traceback

    place = traceback.extract_tb(exc.__traceback__)[-1]
    text = "%s: %s (%s:%d)" % (type(exc).__name__, exc, os.path.basename(place.filename), place.lineno or 0)
    trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    return Failed("a defect in mlxops: " + text, "run it with --debug and report what it prints", trace=trace)
