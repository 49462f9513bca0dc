"""The composition root: settings become adapters, adapters become services. It alone imports adapters.

Words owned here: *base* (what every feature is made of), *compose* (make the parts of one feature).
"""

from passerelle.app.open import make_data_dir, open_app
from passerelle.app.parts import App

__all__ = ["App", "make_data_dir", "open_app"]
