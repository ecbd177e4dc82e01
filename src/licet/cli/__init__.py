"""The command line. Each command imports what it needs when it runs, so that start-up is light."""

__all__ = ["main"]


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code.

    0: done. 1: the answer is no (a refused token, an undeclared route). 2: it could not be done.
    """
    from licet.cli.app import app

    app(prog_name="licet")
