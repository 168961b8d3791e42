"""Shared helpers: devices, progress, generators. They know nothing else of the package."""
