"""The inventory of hybrid care: pathways per organisation, whether each suits hybrid care, and who takes part.

`model` has the values, `blocks` the list of building blocks, `definition` the working definition, `counting` who counts
and `figures` the KPIs. `tables` and `reading` take files in, `pseudonyms` makes people unknown, `store` keeps it all.
"""
