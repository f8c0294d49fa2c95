"""Stand-ins of national facilities, for development and test: programs apart, reached over the same wire.

    python -m schakel_national --folder DIR --port 8410 [--only NAME]

One process hosts them all, each on a port of its own (in the order of `FACILITIES`), with keys of its own in the
folder. What a facility knows stands in `DIR/<name>.toml`. They share no code with the node but its kernel and its
FHIR, so that the node's clients are tried against something that does not agree with them by accident.
"""
