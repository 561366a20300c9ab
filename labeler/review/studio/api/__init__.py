"""Access to a Label Studio server: which one, requests, errors."""
