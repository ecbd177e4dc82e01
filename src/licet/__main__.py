"""``python -m licet`` is the command line."""

from licet.cli import main

if __name__ == "__main__":
    main()
