"""What can go wrong above the core, one class a failure; each message says what to do."""

from __future__ import annotations

from comet_core.errors import CometError
from ingest.errors import DocumentError


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


class UnknownConversation(CometError):
    """There is no such conversation, or message in it; nor is there one of somebody else."""


class EmptyQuestion(CometError):
    """A question with nothing in it to answer."""


class DocumentBusy(DocumentError):
    """The document is being read, by another process or thread."""

    sentence = "{name} is being read at this moment; wait until it is done."


class DocumentChanged(DocumentError):
    """A file changed while it was read."""

    sentence = "{name} changed while it was read; nothing was stored, read it again."


class ReadingStopped(CometError):
    """Raised by whoever watches a reading, to stop it; what was read so far is kept."""


class HomeUnusable(CometError):
    """The data folder cannot be written to."""
