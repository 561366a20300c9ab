"""Named errors of the tool itself: each is one line that says what, where and how to mend it.

LabelerError
├── ConfigError         a setting that is unknown, of the wrong type or out of range
├── FileError           a file whose content is not text, or a place that may not be overwritten
├── WorkspaceError      no workspace here, or one that cannot be made or used
│   └── WorkspaceBusy   another process works on it; the message names it
├── ImportRefused       nothing of a file can be imported; the database is as it was
├── ExportRefused       there is nothing to export, or it is not what is stored
├── NotReady            a step whose precondition is missing; the message names the command that mends it
├── NothingToDo         a step that would change nothing; the message says why
├── NotConfirmed        a command that undoes something, without a terminal to confirm it on
└── StudioError         Label Studio: something is not as it must be there
    ├── ServerDown      it does not answer, or answers that it is broken; `unsure`: the request may have arrived
    ├── NotLabelStudio  something else answers at its address
    ├── BadKey          it does not accept the key, or not for this
    ├── ProjectGone     the project is not there any more
    ├── PageChanged     the project's page is not the one that we made
    └── Refused         it understood a request and refuses it; the message says what it said
"""


class LabelerError(Exception):
    """Something a user can mend. The message is one line for people."""


class ConfigError(LabelerError):
    """A setting that is unknown, of the wrong type or out of range; names the key and the place."""


class FileError(LabelerError):
    """A file whose content is not text, or a place that may not be overwritten; names it and, inside it, the byte."""


class WorkspaceError(LabelerError):
    """No workspace here, or one that cannot be made or used."""


class WorkspaceBusy(WorkspaceError):
    """Another process works on the workspace; the message names its pid, its command and since when."""


class ImportRefused(LabelerError):
    """Nothing of a file can be imported; the database is as it was before."""


class ExportRefused(LabelerError):
    """There is nothing to export, or a label does not stand in its passage."""


class NotReady(LabelerError):
    """A step whose precondition is missing; the message names the command that mends it."""


class NothingToDo(LabelerError):
    """A step that would change nothing; the message says why."""


class NotConfirmed(LabelerError):
    """A command that undoes something and was neither confirmed by --yes nor run on a terminal."""


class StudioError(LabelerError):
    """Something about Label Studio is not as it must be. No message ever holds a key."""


class ServerDown(StudioError):
    """The server does not answer, or answers that it is broken.

    `unsure`: the request may have arrived and been carried out: look before doing it again.
    """

    def __init__(self, message: str, *, unsure: bool) -> None:
        super().__init__(message)
        self.unsure = unsure


class NotLabelStudio(StudioError):
    """Something else than Label Studio answers at the address, or its address is no address."""


class BadKey(StudioError):
    """The server does not accept the key, or its user may not do this."""


class ProjectGone(StudioError):
    """The project is not on the server any more."""


class PageChanged(StudioError):
    """The project's page on the server is not the one that we made."""


class Refused(StudioError):
    """The server understood a request and refuses it; the message says what it said."""
