"""The client that is awaited.

`passerelle.client.sync`, which is not, is written from it by `scripts/typed_client.py`.
"""
