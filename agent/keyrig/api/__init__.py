"""The HTTP API for handheld tools and bench dashboards."""
