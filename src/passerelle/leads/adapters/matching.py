"""Who may get which lead, as one condition."""

# `replace(list, one, '') <> list` says "contains" on both databases. An empty list means every trade, every area.
FITS = """
contractors.client_id = lead.client_id AND contractors.active = 1
    AND contractors.open_leads < contractors.capacity
    AND (contractors.trade_keys = '' OR replace(contractors.trade_keys, lead.trade_key, '') <> contractors.trade_keys)
    AND (contractors.area_keys = '' OR replace(contractors.area_keys, lead.area_key, '') <> contractors.area_keys)
    AND replace(lead.declined, '|' || contractors.id || '|', '') = lead.declined
"""
