"""``python -m passerelle``, and the ``passerelle`` command."""

from passerelle.cli.main import run


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
