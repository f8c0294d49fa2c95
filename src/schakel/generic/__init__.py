"""The generic functions, one package each. They never import one another; `compose` hands them what they need."""
