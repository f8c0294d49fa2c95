"""Pages for people: the patient, the professional, the programme manager of a region and others.

`pages` has what every page shares: templates, the stylesheet, the Dutch texts. The modules beside it turn what the
packages below know into what a template shows; they read nothing and write nothing. The handlers are in `http`.
"""
