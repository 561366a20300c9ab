"""A local Label Studio: installed, started, watched and stopped."""
