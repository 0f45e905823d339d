"""`python -m facegate`."""

from facegate.commands.main import main

if __name__ == "__main__":
    main()
