"""What can go wrong above the core, one class a failure; each message says what to do."""

from __future__ import annotations

from comet_core.errors import CometError


class DatabaseError(CometError):
    """The database cannot be opened, read or written."""


class DamagedSnapshot(CometError):
    """A stored memory does not match its checksums."""


class WrongModel(CometError):
    """A stored memory belongs to another model than the one that is loaded."""


class NotReadYet(CometError):
    """A document has no finished memory to answer from."""


class UnknownDocument(CometError):
    """No document has the name that was given."""


class AmbiguousDocument(CometError):
    """Several documents have the name that was given."""


class DocumentBusy(CometError):
    """Another process is reading the document."""


class DocumentChanged(CometError):
    """A file changed while it was read."""


class ReadingStopped(CometError):
    """Raised by whoever watches a reading, to stop it; what was read so far is kept."""


class HomeUnusable(CometError):
    """The data folder cannot be written to."""
