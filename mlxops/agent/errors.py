"""Every failure the tool can name, with its exit code. Shared by client and agent."""

from __future__ import annotations

from typing import Any, Dict, Type


class MlxopsError(Exception):
    """A failure with fields a program can read and a hint a person can follow.

    `kind` is the class name and, with `message`, `hint` and the fields, the JSON shape of an error.
    `exit_code` is the exit status of the command that ends with it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", /, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    @property
    def kind(self) -> str:
        return type(self).__name__

    def to_wire(self) -> Dict[str, Any]:
        return {**self.fields, "kind": self.kind, "message": self.message, "hint": self.hint}


def pasteable(*words: object) -> str:
    """A command line of ours for a hint: quoted, since names may come from a registry somebody wrote by hand."""
    import shlex

    return " ".join(["mlxops", *(shlex.quote(str(word)) for word in words)])


class Failed(MlxopsError):
    """The work was tried and did not succeed, or some of several items failed."""


class EvidenceUnknown(MlxopsError):
    """Something needed for a safe decision could not be observed, so nothing was changed."""


class NotStopped(MlxopsError):
    """A server was told to stop and is not proven gone."""


class Usage(MlxopsError):
    exit_code = 2


class HostUnreachable(MlxopsError):
    exit_code = 3


class LinkLost(MlxopsError):
    exit_code = 3


class HostKeyRefused(MlxopsError):
    exit_code = 4


class LoginRefused(MlxopsError):
    exit_code = 4


class RegistryInvalid(MlxopsError):
    exit_code = 5


class Locked(MlxopsError):
    exit_code = 6


class PortBusy(MlxopsError):
    exit_code = 7


class ForeignListener(MlxopsError):
    exit_code = 7


class AssignmentConflict(MlxopsError):
    exit_code = 7


class Respawned(MlxopsError):
    """A server that was stopped is started again by somebody else, or would be."""

    exit_code = 7


class NotReady(MlxopsError):
    exit_code = 8


class ModelUnknown(MlxopsError):
    exit_code = 9


class ModelAmbiguous(MlxopsError):
    exit_code = 9


class ModelGated(MlxopsError):
    exit_code = 9


class NotDownloadable(MlxopsError):
    exit_code = 9


class ModelMissing(MlxopsError):
    """The model's files are not whole on this host, and nobody said that they are to be downloaded."""

    exit_code = 9


class NeedsConsent(MlxopsError):
    """A download so large that the person at the terminal is asked first. Nothing was changed."""

    exit_code = 9


class NotEnoughMemory(MlxopsError):
    exit_code = 10


class NotEnoughDisk(MlxopsError):
    exit_code = 10


class DriftFound(MlxopsError):
    exit_code = 11


class Interrupted(MlxopsError):
    exit_code = 130


def _kinds(root: Type[MlxopsError]) -> Dict[str, Type[MlxopsError]]:
    return {cls.__name__: cls for cls in root.__subclasses__()}


def from_wire(record: Dict[str, Any]) -> MlxopsError:
    """The error a record describes; a kind this side does not know becomes Failed, its text kept."""
    fields = {k: v for k, v in record.items() if k not in ("kind", "message", "hint")}
    cls = _kinds(MlxopsError).get(str(record.get("kind")), Failed)
    return cls(str(record.get("message", "")), str(record.get("hint") or ""), **fields)
