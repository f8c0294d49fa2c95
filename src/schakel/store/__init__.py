"""Resources in PostgreSQL: schema, search index, transactions, history, remembered pages, embedded server.

`Store` (in `resources`) is one organisation's view of the database: it is made with the tenant and puts it in
every statement, so that nothing above can forget it.
"""
