"""What facegate remembers: users, references, doors, decisions, events; encrypted where it shows a person."""

from facegate.storage.opening import Storage, open_storage

__all__ = ["Storage", "open_storage"]
