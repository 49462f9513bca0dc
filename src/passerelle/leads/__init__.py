"""A customer who asked for somebody, the one contractor who gets the request, and telling him so on WhatsApp.

Words owned here: *lead* (a customer's request), *link* (signed, where the customer confirms), *contractor* (who gets
leads, up to his capacity), *take* (a unit of capacity is used), *waiting* (confirmed, nobody had room yet), *earlier*
(a row that stood in the table before it was ours to use).
"""
