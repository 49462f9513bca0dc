"""Passerelle: a self-hosted WhatsApp gateway that keeps its promises while things around it come and go."""

__version__ = "0.2.0"
