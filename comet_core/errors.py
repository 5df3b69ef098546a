"""The root of every failure a user can be told about.

Each failure is a class of its own, raised where it is noticed, with one sentence for the user that
says what to do. Whatever the way in (command line, chat model, web), the caller catches
`CometError` and shows its text; anything else is a defect and may show a traceback.
"""


class CometError(Exception):
    """A failure that is explained to the user in one sentence."""


class UnsupportedBackbone(CometError):
    """The language model's architecture is not one whose layers CoMeT knows how to drive."""


class ChunkTooLong(CometError):
    """A chunk with its memory has more rows than the language model can attend over."""


class ModelNotFound(CometError):
    """No model at the place that was named."""


class CannotWrite(CometError):
    """A folder in which something has to be kept cannot be written."""


class TargetExists(CometError):
    """What was asked to be made is there already."""


class DamagedModel(CometError):
    """A model file is incomplete or its checksum does not match."""
