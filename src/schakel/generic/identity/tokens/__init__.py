"""The parts of the authorisation server: from a form to what it proves (`grants`), tokens and what was used up for
them (`rows`), how a token must be shown (`showing`), and what the server tells of both (`telling`)."""
