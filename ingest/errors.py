"""Why a document cannot be read: one class a failure, one sentence for the user.

The sentence names the file and says what to do. File names are data: whatever in them cannot be
printed on one line is replaced. Knows no format: the readers raise these where they notice them.
"""

from pathlib import Path

from comet_core.errors import CometError


class DocumentError(CometError):
    """A document that cannot be read; `path` is the file it was to be read from."""

    sentence = "{name} cannot be read."

    def __init__(self, path: Path, **details: str) -> None:
        self.path = path
        self._details = details
        super().__init__(self.named(str(path)))

    def named(self, name: str) -> str:
        """The sentence, with another name for the file."""
        printable = {
            key: "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
            for key, value in {**self._details, "name": name}.items()
        }
        return self.sentence.format(**printable)


class MissingFile(DocumentError):
    """No file at the path."""

    sentence = "{name} does not exist; check the path."


class NotAFile(DocumentError):
    """The path is a folder, a pipe or a device."""

    sentence = "{name} is not a file; name a document."


class UnreadableFile(DocumentError):
    """The operating system does not let the file be read; needs `reason`."""

    sentence = "{name} cannot be opened ({reason}); check its permissions and the disk."


class EmptyFile(DocumentError):
    """No bytes, or no letter or digit in any of its pages."""

    sentence = "{name} has no text in it; nothing was read, choose another file."


class UnknownFormat(DocumentError):
    """The suffix of the file name is none that a reader exists for; needs `supported`."""

    sentence = "{name} is of an unknown format; convert it to one of {supported}."


class WrongContent(DocumentError):
    """The content is not what the name says; needs `expected` and `found`."""

    sentence = "{name} should be {expected} by its name but holds {found}; rename or convert it."


class EncryptedFile(DocumentError):
    """A PDF that opens with a password only, and none was given."""

    sentence = "{name} is encrypted; its password is needed (on the command line: --password)."


class WrongPassword(DocumentError):
    """The password given does not open the PDF."""

    sentence = "The password does not open {name}; check it and try again."


class ProtectedFile(DocumentError):
    """Encrypted in a way that no password given here opens (copy protection, certificates)."""

    sentence = "{name} is copy-protected; get a copy without protection."


class NoTextLayer(DocumentError):
    """A PDF of pictures only, such as a scan."""

    sentence = "{name} has no text layer, only pictures; run text recognition (OCR) on it first."


class TruncatedFile(DocumentError):
    """The end of the file is missing."""

    sentence = "{name} is cut off before its end; download or copy it again."


class DamagedFile(DocumentError):
    """The file is whole but what it holds cannot be understood; needs `reason`."""

    sentence = "{name} is damaged ({reason}); get another copy or export it again."


class TooLarge(DocumentError):
    """One page of markup would take too much memory to parse; needs `limit`."""

    sentence = "{name} has more than {limit} in one page; split it, or save it as plain text."


class ZipBomb(DocumentError):
    """A member of the archive unpacks to far more than a document needs."""

    sentence = "{name} unpacks to more data than a document can hold; do not trust this file."
