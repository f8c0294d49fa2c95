"""The roadmap of a region: what every organisation must have by when, and where each of them stands, measured.

`model` has the roadmap as data, `evidence` what is known about an organisation, and `standing` what follows from the
two. `checks` measure, `run` lets them measure a region, `board` keeps what was found, `report` writes it down and
`hybrid` is the inventory of hybrid care.
"""
