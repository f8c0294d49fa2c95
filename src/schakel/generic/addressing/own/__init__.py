"""What our own organisations tell others of themselves.

`entries` makes FHIR resources of what the settings say (`model`), `keeping` brings the store to them, `publication`
brings the central directory (LRZa) to the store. `offers` are the doors through which others read and write.
"""
