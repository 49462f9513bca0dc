"""Tracing by OpenTelemetry, the only technology of this room."""
