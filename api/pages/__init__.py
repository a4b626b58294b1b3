"""NiceGUI pages, one file per page."""
