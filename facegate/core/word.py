"""What an operator's word on a decision says of the face that it was made on.

    decision                 confirmed            denied            denied, it was X
    grant of A               the face is A's      it is not A's     it is X's, and not A's
    deny `no_match`          nobody enrolled      nothing           it is X's
    deny that names A        the face is A's      nothing           it is X's, and not A's if X is another
    any other deny           nothing              nothing           it is X's

"Nothing" is for learning: the word is kept all the same. A deny of a deny does not say who was there, and a deny that
names somebody (`not_permitted`, `outside_hours`, ...) may be wrong in its policy alone.
"""

from dataclasses import dataclass

from facegate.core.decision import Outcome, Reason

CONFIRMED = "confirmed"
DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word says of a face.

    Attributes:
        owner: Slug of whose face it is, or None.
        stranger: It is the face of nobody who is enrolled.
        refused: Slug of whose face it is not, or None.
    """

    owner: str | None = None
    stranger: bool = False
    refused: str | None = None

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn from it."""
        return self.owner is not None or self.stranger or self.refused is not None

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.owner is not None:
            return f"it is {self.owner}" + (f" and not {self.refused}" if self.refused else "")
        if self.refused is not None:
            return f"it is not {self.refused}"
        return "it is nobody enrolled" if self.stranger else "it does not say who was there"


def meaning(outcome: Outcome, reason: Reason, named: str | None, word: str, user: str | None = None) -> Meaning:
    """Return what a word says.

    Args:
        outcome: Of the decision.
        reason: Of the decision.
        named: Slug of the user whom the decision names, or None.
        word: `confirmed` or `denied`.
        user: Slug of who it really was, if the operator says so.

    Raises:
        ValueError: The word contradicts itself; the message says how.
    """
    if word == CONFIRMED:
        if user is not None and user != named:
            raise ValueError(f"confirmed means that it was {named or 'nobody enrolled'}, and not {user}")
        return Meaning(stranger=reason is Reason.NO_MATCH) if named is None else Meaning(owner=named)
    if user is not None:
        if outcome is Outcome.GRANT and user == named:
            raise ValueError(f"denied means that it was not {named}")
        return Meaning(owner=user, refused=named if named != user else None)
    return Meaning(refused=named) if outcome is Outcome.GRANT else Meaning()
