"""The handlers of the portal."""
