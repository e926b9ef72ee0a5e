"""Views of results: terminal maps, overlays, HTML pages, tables and plots."""
