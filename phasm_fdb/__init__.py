"""Deterministic, crash-recoverable state machines as a FoundationDB layer."""
