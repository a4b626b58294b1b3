"""North of the platforms: their APIs for commands and history."""
