"""Builders of R4 resources in the shapes of zib 2020: nl-core, MP9 3.0 medication, vaccinations.

Each adds one resource to a chart of R4, as the builders of `zibs` (STU3, zib 2017) do, from the same stories.
Sources: nl-core R4 0.12, Medicatieproces 9 3.0, Vaccination-Immunization 2.0 (Nictiz).
"""

from schakel.demo.patients.zibs2020 import administration, medication, problems, vaccination

__all__ = ["administration", "medication", "problems", "vaccination"]
