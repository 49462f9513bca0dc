"""``python -m passerelle``, and the ``passerelle`` command."""

import gc


def main() -> None:
    """Run the command line."""
    gc.set_threshold(50_000, 20, 100)  # imports make no garbage: looking for it was a tenth of a start
    from passerelle.cli.main import run  # noqa: PLC0415 -- after what is above

    run()


if __name__ == "__main__":
    main()
