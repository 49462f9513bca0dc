# Written by scripts/typed_client.py from ../aio/__init__.py: change that, and run it.
"""The client that is not awaited."""
