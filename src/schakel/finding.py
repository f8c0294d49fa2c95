"""What the settings say of addressing, as the services that `compose` builds take them."""
