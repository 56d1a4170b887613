"""Healer: Prometheus-native heartbeat monitoring for services on a Redis bus."""

__version__ = "0.1.0"
