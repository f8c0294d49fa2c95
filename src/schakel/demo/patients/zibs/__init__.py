"""Builders of STU3 resources in the shape of zib release 2017, one function per zib.

Every function adds its resources to a `Chart` and returns the link to the main one. Profiles are those of
`nictiz.fhir.nl.stu3.zib2017` and HL7 Netherlands' nl-core.
"""
