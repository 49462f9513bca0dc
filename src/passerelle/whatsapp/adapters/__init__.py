"""Ways to the real WhatsApp: linked devices (multidevice) and the official Cloud API."""
