"""The wire to WhatsApp: what a provider must offer, and how it says no.

Words owned here: *provider* (sandbox, multidevice, cloud_api), *linking* (one companion connection that may ask
for codes), *code* (the 8 characters somebody types), *device* (what a linking ends with).
"""
