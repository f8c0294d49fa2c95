"""The work behind each command of `schakel`, one module per command.

`schakel.cli` holds names, options and help; a module here is imported when its command runs. `doors` finds the
node of an organisation and speaks to it over the internal door.
"""
