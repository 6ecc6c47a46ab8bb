"""Nornir tasks and what they share: the session, the filter, the exec channel."""
