"""The log: one line a fact, bounded, without pictures, templates, names or secrets."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from facegate.core.decision import rfc3339
from facegate.settings import LogSection

MAX_LINE: Final = 2000
"""Characters of one line; a payload that found its way into a message must not fill the disk."""

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS: Final = re.compile(r"(?<=://)[^/\s@]+@|((?<=password=)|(?<=token=))[^&\s]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return the text on one line, without credentials of URLs, and not too long."""
    return _SECRETS.sub("***", " ".join(text.split()))[:MAX_LINE]


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record carries beside its message."""
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class LineFormatter(logging.Formatter):
    """`2026-11-23T12:00:00.000Z info gate: decided door=front reason=match`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; a traceback follows on lines of its own, at debug level and for errors."""
        moment = rfc3339(datetime.fromtimestamp(record.created, UTC))
        facts = " ".join(f"{key}={value}" for key, value in extras(record).items())
        part = record.name.removeprefix("facegate.")
        line = redacted(f"{moment} {record.levelname.lower()} {part}: {record.getMessage()} {facts}".rstrip())
        return f"{line}\n{self.formatException(record.exc_info)[-MAX_LINE:]}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object."""
        document = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": redacted(record.getMessage()),
            **{
                key: value if isinstance(value, int | float) else redacted(str(value))
                for key, value in extras(record).items()
            },
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)[-MAX_LINE:]
        return json.dumps(document, ensure_ascii=False)


def start_logging(section: LogSection) -> None:
    """Send the log to stderr as the settings say; libraries speak up only when something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if section.json_lines else LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("facegate").setLevel(section.level.upper())
