"""What the loop does now and then."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class Beat:
    """Something that is due again and again."""

    seconds: float
    due: datetime

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is due, and if so, when it is due next; a clock that was set back makes it due at once."""
        if self.due - timedelta(seconds=self.seconds) <= now < self.due:
            return False
        self.due = now + timedelta(seconds=self.seconds)
        return True
