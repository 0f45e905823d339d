"""Every failure that facegate tells an operator about.

    FacegateError            what went wrong, and how to mend it
    |- UnusableInputError    what was given cannot be used (exit 2)
    |- RefusedError          the answer is no (exit 1)
    `- NotReadyError         schema, model, key or broker is missing (exit 3)

The command line prints such an error as one line and leaves with its code. Anything else is our bug and keeps its
traceback. Both parts are positional, so that an error survives the way out of a child process.
"""

from typing import ClassVar


class FacegateError(Exception):
    """What went wrong (`what`) and what the operator can do about it (`mend`)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what, mend)
        self.what = what
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.what}. {self.mend}."


class RefusedError(FacegateError):
    """The answer is no: a photo that fails the gates, a model that is worse, a door that still has decisions."""

    exit_code = 1


class UnusableInputError(FacegateError):
    """What was given cannot be used: no picture, no slug, no such user."""

    exit_code = 2


class NotReadyError(FacegateError):
    """facegate lacks something that it needs: the schema, a model, a key, the broker."""

    exit_code = 3
