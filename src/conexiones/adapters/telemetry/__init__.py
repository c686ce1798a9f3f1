"""Figures and traces, pushed to a collector of OpenTelemetry."""
