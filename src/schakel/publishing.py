"""What the settings say of an organisation's own entries in the directory, as the services that `compose` builds take
them."""
