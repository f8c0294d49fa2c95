"""HTTP: the one list of routes, the listeners, content negotiation and the mapping of errors."""
