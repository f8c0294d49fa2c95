"""What the settings say of pseudonyms and localisation, as the services that `compose` builds take them."""
