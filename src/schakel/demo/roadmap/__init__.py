"""The demo's region on the roadmap: the file that it is measured from, and a history that was made up for it.

`region` writes REGION.toml, `hybrid` has an inventory of hybrid care and `records` what the records of its
organisations have of it, `history` the runs of the months before, `agenda` what its staff plans and declares; what is
measured today is measured.
"""
