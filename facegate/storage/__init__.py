"""What facegate remembers: users, references, doors, decisions, events; encrypted where it shows a person."""
