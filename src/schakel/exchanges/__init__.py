"""The exchanges, one package each: they compose the generic functions and the network."""
