"""The portal and the board of the roadmap, from the settings."""
