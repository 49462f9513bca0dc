"""Tracing: how long each part of one matter took, told to whoever collects such things (OpenTelemetry, an extra).

Words owned here: *span* (one part, with a beginning and an end), *trace* (the spans of one matter, from the request
over the queue to the attempt and the webhook), *traceparent* (the text of W3C Trace Context that joins them). No span
ever holds a phone number, a text, a name of a file, a token, an address or a path as it was asked: only ids of ours.
"""
