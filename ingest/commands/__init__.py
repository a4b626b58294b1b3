"""Commands on ingest's side: carried to the gateways, and ended by what gateways and meters say of them."""
